"""What the entry point `azure` names: a description, without Azure's SDKs."""

from __future__ import annotations

from batchcore.backend import (
    API_VERSION,
    EMULATED,
    NATIVE,
    BackendSpec,
    Capability,
    unsupported,
)
from batchcore.hookspecs import hookimpl


@hookimpl
def batchcore_register_backend() -> BackendSpec:
    """Describe `azure`."""
    return BackendSpec(
        name="azure",
        summary="containers on Azure Batch",
        factory="batchcore_azure.backend:create",
        settings="batchcore_azure.settings:AzureSettings",
        capabilities={
            "containers": NATIVE,
            "dependencies": EMULATED,
            "time_limit": NATIVE,
            "retries": EMULATED,
            "cpu_limit": NATIVE,
            "memory_limit": NATIVE,
            "disk": unsupported("Batch does not tell how much disk a machine has; see vm_size"),
            "gpus": Capability("native", "with a vm_size of an N family, and all of a machine's"),
            "mounts": unsupported(
                "Batch mounts storage for a whole pool and not for a task; make the files resources"
            ),
            "secrets": unsupported(
                "their values would stand in the Batch job for all who may read it; let the task "
                "ask Key Vault, with the managed identity of its pool"
            ),
            "root_user": Capability("native", "root in its container, without capabilities"),
            "live_logs": NATIVE,
            "out_of_memory_reason": unsupported("Batch tells an exit code and no more"),
            "interruptions": NATIVE,
            "survives_controller": NATIVE,
        },
        api_version=API_VERSION,
        remote=True,
        schemes=("az",),
        doctor="batchcore_azure.doctor:examine",
    )
