"""Bringing results to where controllers of super_batch look for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from batchcore.compat.errors import JobFailed
from batchcore.report.run import failure_text
from batchcore.results import OutputFile
from batchcore.run import Run
from batchcore.states import TaskState

_SHOWN = 10


def publish(run: Run, directory: Path) -> list[str]:
    """Copy all collected files into a directory and return their paths, in the order of tasks.

    A file appears whole and verified, or the older one stays. Raises `TransferError` where a
    collected file is missing or not what the task wrote.
    """
    source = run.directory / "outputs"
    return [
        _copy(output, directory / output.file.relative_to(source), task.id)
        for task in run.tasks
        for output in task.outputs
    ]


def _copy(output: OutputFile, target: Path, task_id: str) -> str:
    output.copy_to(target, task_id)
    return str(target)


def in_order(published: Sequence[str], built: Sequence[str]) -> list[str]:
    """Return the published files in the order in which outputs were built.

    A pattern was built as a directory and is replaced by the files in it; without any that were
    built, as in a client that reconnects, the order stays.
    """
    if not built:
        return list(published)
    return [
        path
        for output in built
        for path in published
        if path == output or path.startswith(f"{output}/")
    ]


def require_success(run: Run) -> None:
    """Raise `JobFailed`, which names the tasks and why, unless every task has succeeded."""
    report = run.report()
    bad = [task for task in report.tasks if task.state is not TaskState.SUCCEEDED]
    if not bad:
        return
    lines = [
        f"  {task.id}: {failure_text(task.reason, task.exit_code, task.duration, task.detail)}"
        if task.state is TaskState.FAILED
        else f"  {task.id}: {task.state}"
        for task in bad[:_SHOWN]
    ]
    more = [f"  … and {len(bad) - _SHOWN} more"] if len(bad) > _SHOWN else []
    head = f"{len(bad)} of {len(report.tasks)} tasks have not succeeded:"
    raise JobFailed(
        "\n".join([head, *lines, *more]),
        hint=f"look with: batchcore logs {run.directory} {bad[0].id}",
        where=str(run.directory),
    )
