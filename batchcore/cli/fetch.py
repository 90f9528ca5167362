"""The verb `fetch`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from batchcore.cli.completion import directories, run_names, task_ids
from batchcore.cli.execute import near
from batchcore.cli.find import find_run, run_option
from batchcore.cli.options import json_option, traceback_option
from batchcore.cli.session import Session
from batchcore.errors import UsageError
from batchcore.report.data import json_text
from batchcore.report.text import plural, table
from batchcore.results import OutputFile, TaskResult
from batchcore.run import Run
from batchcore.states import TaskState
from batchcore.units import show_bytes

SCHEMA = "batchcore.files/1"


@click.command(epilog="Example:  batchcore fetch sum-of-powers-7f3a --to results")
@click.argument("run", metavar="RUN", shell_complete=run_names)
@click.option("--to", metavar="DIR", help="Copy the files there.", shell_complete=directories)
@click.option("--verify-only", is_flag=True, help="Read every file again; copy nothing.")
@click.option(
    "--task",
    metavar="ID",
    multiple=True,
    help="Take the files of this task alone.",
    shell_complete=task_ids,
)
@run_option
@json_option
@traceback_option
@click.pass_obj
def fetch(
    session: Session,
    /,
    *,
    run: str,
    to: str | None,
    verify_only: bool,
    task: tuple[str, ...],
    runs: str | None,
) -> None:
    """Verify and copy the collected files.

    Each file is read again and compared with what the task wrote; a copy appears whole or not at
    all.
    """
    if to and verify_only:
        raise UsageError("--to and --verify-only contradict each other", hint="keep one of them")
    found = find_run(run, runs)
    tasks = found.verify(task)
    if to:
        tasks = _copied(tasks, found.directory / "outputs", Path(to).absolute())
    _show(session, found, tasks)
    unfinished = [task for task in tasks if task.state is not TaskState.SUCCEEDED]
    if unfinished:
        session.err.line(
            f"note: {plural(len(unfinished), 'task')} of these "
            f"{'has' if len(unfinished) == 1 else 'have'} not succeeded: batchcore status {run}",
            "note",
        )


def _copied(tasks: Sequence[TaskResult], source: Path, target: Path) -> list[TaskResult]:
    """Copy every file and return the tasks with the files where they are now."""
    from msgspec.structs import replace

    return [
        replace(
            task,
            outputs=tuple(
                _copy(output, target / output.file.relative_to(source), task.id)
                for output in task.outputs
            ),
        )
        for task in tasks
    ]


def _copy(output: OutputFile, target: Path, task_id: str) -> OutputFile:
    from msgspec.structs import replace

    output.copy_to(target, task_id)
    return replace(output, file=target)


def _show(session: Session, run: Run, tasks: Sequence[TaskResult]) -> None:
    files = [(task, output) for task in tasks for output in task.outputs]
    if session.wants_json:
        data = [
            {
                "task": task.id,
                "path": output.path,
                "file": output.file,
                "size": output.size,
                "sha256": output.sha256,
            }
            for task, output in files
        ]
        session.out.json(json_text(SCHEMA, {"run": run.id, "files": data}))
        return
    if files:
        rows = [(task.id, near(output.file), show_bytes(output.size)) for task, output in files]
        session.out.line(table(("TASK", "FILE", "SIZE"), rows))
    session.err.line(f"{session.err.marks.good} {plural(len(files), 'file')} verified", "good")
