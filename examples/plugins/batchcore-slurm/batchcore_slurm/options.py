"""What `sbatch` is told about a task; tasks with the same options share an array job."""

from __future__ import annotations

import math

from batchcore.plan import PlannedTask
from batchcore_slurm.settings import SlurmSettings

_MINUTE = 60.0
_MIB = 2**20
# How long Slurm waits beyond the node's own time limit, for files to be copied and written.
_SPARE = 300.0

Options = tuple[str, ...]


def task_options(task: PlannedTask, settings: SlurmSettings) -> Options:
    """Return the options that say what a task needs; the user's own come first and give way."""
    wanted = task.requirements
    options = [*settings.sbatch_options]
    where = ("partition", "account", "qos", "reservation")
    options += [f"--{name}={value}" for name in where if (value := getattr(settings, name))]
    options += ["--nodes=1", "--ntasks=1"]
    if wanted.cpus is not None:
        options.append(f"--cpus-per-task={math.ceil(wanted.cpus)}")
    if wanted.memory_bytes is not None:
        options.append(f"--mem={math.ceil(wanted.memory_bytes / _MIB)}M")
    if wanted.gpus:
        options.append(f"--gres=gpu:{wanted.gpus}")
    if task.timeout is not None:
        options.append(f"--time={math.ceil((task.timeout + task.grace + _SPARE) / _MINUTE)}")
    return tuple(options)


def array_options(name: str, comment: str, count: int) -> Options:
    """Return the options by which an array job is found again and runs each element once."""
    return (
        f"--job-name={name}",
        f"--comment={comment}",
        f"--array=0-{count - 1}",
        "--no-requeue",
        "--chdir=/",
        "--input=/dev/null",
        "--output=/dev/null",
        "--error=/dev/null",
    )
