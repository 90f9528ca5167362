"""What the entry point `slurm` names: a description, without calling Slurm."""

from __future__ import annotations

from batchcore.backend import API_VERSION, EMULATED, NATIVE, BackendSpec, Capability, unsupported
from batchcore.hookspecs import hookimpl


@hookimpl
def batchcore_register_backend() -> BackendSpec:
    """Describe `slurm`."""
    site = "asked of Slurm, which holds a task to it only where the site has task/cgroup"
    return BackendSpec(
        name="slurm",
        summary="array jobs of a Slurm cluster",
        factory="batchcore_slurm.backend:SlurmBackend",
        settings="batchcore_slurm.settings:SlurmSettings",
        capabilities={
            "containers": unsupported("unless the option containers says apptainer or docker"),
            "dependencies": EMULATED,
            "time_limit": NATIVE,
            "retries": EMULATED,
            "cpu_limit": unsupported(site),
            "memory_limit": unsupported(site),
            "disk": Capability("emulated", "free space is looked at before the start"),
            "gpus": NATIVE,
            "mounts": unsupported("a node shows its own directories, and those you share with it"),
            "secrets": unsupported("Slurm keeps what a job is given on its controller's disk"),
            "root_user": unsupported("a job runs as you"),
            "live_logs": NATIVE,
            "out_of_memory_reason": unsupported(site),
            "interruptions": NATIVE,
            "survives_controller": NATIVE,
        },
        api_version=API_VERSION,
    )
