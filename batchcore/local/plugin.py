"""Registers `local-process`, the backend that is always there."""

from __future__ import annotations

from batchcore.backend import EMULATED, NATIVE, BackendSpec, Capability, unsupported
from batchcore.hookspecs import hookimpl


@hookimpl
def batchcore_register_backend() -> BackendSpec:
    """Describe `local-process` without importing it."""
    no_container = "a process is not in a container; use local-docker"
    return BackendSpec(
        name="local-process",
        summary="child processes of this machine, no container",
        factory="batchcore.local.factory:create",
        settings="batchcore.local.settings:LocalProcessSettings",
        capabilities={
            "containers": unsupported("the command runs on this machine, not in an image"),
            "dependencies": EMULATED,
            "time_limit": NATIVE,
            "retries": EMULATED,
            "cpu_limit": unsupported(no_container),
            "memory_limit": unsupported(no_container),
            "disk": Capability("emulated", "free space is looked at before the start"),
            "gpus": unsupported("a process sees every GPU of this machine"),
            "mounts": unsupported(no_container),
            "secrets": NATIVE,
            "root_user": unsupported("a process runs as you"),
            "live_logs": NATIVE,
            "out_of_memory_reason": unsupported(no_container),
            "interruptions": NATIVE,
            "survives_controller": NATIVE,
        },
        doctor="batchcore.local.doctor:examine",
    )
