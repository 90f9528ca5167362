"""What the entry point `local-docker` names: a description, without Docker's SDK."""

from __future__ import annotations

from batchcore.backend import API_VERSION, EMULATED, NATIVE, BackendSpec, Capability
from batchcore.hookspecs import hookimpl


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
            "gpus": Capability("native", "with NVIDIA's container runtime"),
            "mounts": Capability("native", "directories of this machine; no store prefixes"),
            "secrets": NATIVE,
            "root_user": NATIVE,
            "live_logs": Capability(
                "native", "only at the end as root, without /bin/sh, or on another machine"
            ),
            "out_of_memory_reason": NATIVE,
            "interruptions": NATIVE,
            "survives_controller": NATIVE,
        },
        api_version=API_VERSION,
        doctor="batchcore_localdocker.doctor:examine",
        finds_orphans=True,
    )
