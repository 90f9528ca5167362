"""Registers `frozen-v1`; imports nothing that takes time."""

from batchcore.backend import EMULATED, NATIVE, BackendSpec, unsupported
from batchcore.hookspecs import hookimpl


@hookimpl
def batchcore_register_backend() -> BackendSpec:
    """Describe the backend: what it has is what its tests hold it to."""
    not_yet = unsupported("a frozen plugin has no more than it had")
    return BackendSpec(
        name="frozen-v1",
        summary="a plugin of the first interface",
        factory="batchcore_frozen_v1.backend:FrozenV1Backend",
        settings="batchcore_frozen_v1.settings:FrozenV1Settings",
        api_version=1,
        capabilities={
            "containers": not_yet,
            "dependencies": EMULATED,
            "time_limit": NATIVE,
            "retries": EMULATED,
            "cpu_limit": not_yet,
            "memory_limit": not_yet,
            "disk": not_yet,
            "gpus": not_yet,
            "mounts": not_yet,
            "secrets": not_yet,
            "root_user": not_yet,
            "live_logs": NATIVE,
            "out_of_memory_reason": not_yet,
            "interruptions": NATIVE,
            "survives_controller": NATIVE,
        },
    )
