"""Watches and judges, and asks for fewer arguments than there are."""

from collections.abc import Iterator
from pathlib import Path

from batchcore.errors import Problem
from batchcore.hookspecs import hookimpl
from batchcore.model import Job
from batchcore.states import TaskState

seen: list[str] = []


@hookimpl
def batchcore_validate_job(job: Job) -> Iterator[Problem]:
    for task in job.tasks:
        if task.labels.get("frozen-v1") == "refuse":
            yield Problem(code="FROZEN1", reason=f"task {task.id!r} asks to be refused")


@hookimpl
def batchcore_task_changed(task_id: str, new: TaskState) -> None:
    seen.append(f"{task_id} {new}\n")


@hookimpl
def batchcore_run_finished(state: str, directory: Path) -> None:
    seen.append(f"{state}\n")
    (directory / "frozen-v1.txt").write_text("".join(seen))
