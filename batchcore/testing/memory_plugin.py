"""Registers `memory`, the backend for tests that keeps everything in this process."""

from __future__ import annotations

from batchcore.backend import EMULATED, NATIVE, BackendSpec, unsupported
from batchcore.hookspecs import hookimpl


@hookimpl
def batchcore_register_backend() -> BackendSpec:
    """Describe `memory` without importing it."""
    no_container = "a task is a function or a process, in no container"
    return BackendSpec(
        name="memory",
        summary="for tests: tasks end as a function says, all in memory",
        factory="batchcore.testing.memory_service:create",
        settings="batchcore.testing.memory_settings:MemorySettings",
        schemes=("memory",),
        capabilities={
            "containers": unsupported("no command runs in an image"),
            "dependencies": EMULATED,
            "time_limit": NATIVE,
            "retries": EMULATED,
            "cpu_limit": unsupported(no_container),
            "memory_limit": unsupported(no_container),
            "disk": unsupported("nobody looks at what is free"),
            "gpus": unsupported("memory has no GPU"),
            "mounts": unsupported(no_container),
            "secrets": unsupported("memory hands none on"),
            "root_user": unsupported("a process runs as you"),
            "live_logs": NATIVE,
            "out_of_memory_reason": unsupported(no_container),
            "interruptions": NATIVE,
            "survives_controller": unsupported("what runs in memory is gone with its process"),
        },
    )
