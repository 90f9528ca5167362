"""What the entry point `local-docker` names: a description, without Docker's SDK."""

from __future__ import annotations

from batchcore.backend import API_VERSION, EMULATED, NATIVE, BackendSpec, Capability, unsupported
from batchcore.hookspecs import hookimpl

_LATER = "comes with the hardened local backends"


@hookimpl
def batchcore_register_backend() -> BackendSpec:
    """Describe `local-docker`."""
    return BackendSpec(
        name="local-docker",
        summary="containers of this machine's Docker",
        factory="batchcore_localdocker.backend:create",
        settings="batchcore_localdocker.settings:LocalDockerSettings",
        capabilities={
            "containers": NATIVE,
            "dependencies": EMULATED,
            "time_limit": NATIVE,
            "retries": EMULATED,
            "cpu_limit": NATIVE,
            "memory_limit": NATIVE,
            "disk": Capability("emulated", "free space is looked at before the start"),
            "gpus": unsupported(_LATER),
            "mounts": Capability("native", "directories of this machine; no store prefixes"),
            "secrets": unsupported(_LATER),
            "root_user": unsupported(_LATER),
            "live_logs": Capability("native", "from an image without /bin/sh only at the end"),
            "out_of_memory_reason": NATIVE,
            "survives_controller": NATIVE,
        },
        api_version=API_VERSION,
    )
