"""Describe a batch job once; run it here, on Azure Batch, or on any engine with a plugin.

The public names are imported when they are first used, so that ``batchcore --help`` and a
controller that only builds a job start quickly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchcore.cli.controller import main
    from batchcore.errors import BatchcoreError, JobError, TasksFailed
    from batchcore.jobfile import load_job, tasks_from_rows
    from batchcore.life.attach import attach
    from batchcore.life.start import run_job
    from batchcore.model import Dependency, Job, Mount, Output, Requirements, Resource, Task
    from batchcore.run import Run
    from batchcore.states import FailureReason, TaskState

__all__ = [
    "BatchcoreError",
    "Dependency",
    "FailureReason",
    "Job",
    "JobError",
    "Mount",
    "Output",
    "Requirements",
    "Resource",
    "Run",
    "Task",
    "TaskState",
    "TasksFailed",
    "__version__",
    "attach",
    "load_job",
    "main",
    "run_job",
    "tasks_from_rows",
]

_HOMES = {
    "BatchcoreError": "errors",
    "Dependency": "model",
    "FailureReason": "states",
    "Job": "model",
    "JobError": "errors",
    "Mount": "model",
    "Output": "model",
    "Requirements": "model",
    "Resource": "model",
    "Run": "run",
    "Task": "model",
    "TaskState": "states",
    "TasksFailed": "errors",
    "attach": "life.attach",
    "load_job": "jobfile",
    "main": "cli.controller",
    "run_job": "life.start",
    "tasks_from_rows": "jobfile",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module at first use."""
    if name == "__version__":
        from importlib.metadata import version

        return version("batchcore")
    from batchcore.lazy import attribute

    return attribute(__name__, _HOMES, name)


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
