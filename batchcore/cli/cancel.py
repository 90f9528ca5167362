"""The verb `cancel`."""

from __future__ import annotations

import click

from batchcore.cli.completion import run_names, task_ids
from batchcore.cli.find import find_run, run_option
from batchcore.cli.options import json_option, traceback_option
from batchcore.cli.session import Session
from batchcore.life.manage import cancel_run
from batchcore.report.data import json_text
from batchcore.report.text import plural
from batchcore.results import TaskResult
from batchcore.run import Run
from batchcore.states import TaskState

SCHEMA = "batchcore.cancel/1"
_WAITING = {TaskState.PENDING, TaskState.QUEUED}


@click.command(epilog="Example:  batchcore cancel sum-of-powers-7f3a seed-1")
@click.argument("run", metavar="RUN", shell_complete=run_names)
@click.argument("tasks", metavar="[TASK]...", nargs=-1, shell_complete=task_ids)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@run_option
@json_option
@traceback_option
@click.pass_obj
def cancel(
    session: Session, /, *, run: str, tasks: tuple[str, ...], yes: bool, runs: str | None
) -> None:
    """Stop a run, or some of its tasks.

    What has succeeded stays. The same `run` line again starts what was canceled.
    """
    found = find_run(run, runs)
    open_tasks = _open_tasks(found, tasks)
    ended = True
    if open_tasks:
        session.err.line(_announcement(found, open_tasks))
        if session.may_ask and not yes and not session.agrees("Stop them?"):
            return
        ended = cancel_run(found, tasks)
    _show(session, found, open_tasks, ended=ended)


def _open_tasks(run: Run, task_ids: tuple[str, ...]) -> list[TaskResult]:
    run.require_tasks(task_ids)
    wanted = set(task_ids)
    return [t for t in run.tasks if not t.state.final and (not wanted or t.id in wanted)]


def _announcement(run: Run, tasks: list[TaskResult]) -> str:
    waiting = sum(task.state in _WAITING for task in tasks)
    over = sum(task.state is TaskState.FINALIZING for task in tasks)
    stopping = len(tasks) - over
    return (
        f"{plural(stopping, 'task')} of {run.id} will stop: "
        f"{stopping - waiting} running, {waiting} waiting"
        + (f"; {plural(over, 'more task')} ended and not yet collected" if over else "")
    )


def _show(session: Session, run: Run, tasks: list[TaskResult], *, ended: bool) -> None:
    if session.wants_json:
        data = {"run": run.id, "tasks": [task.id for task in tasks], "ended": ended}
        session.out.json(json_text(SCHEMA, data))
    elif not tasks:
        session.err.line("nothing to stop: these tasks have ended")
    elif ended:
        wanted = {task.id for task in tasks}
        stopped = sum(t.state is TaskState.CANCELED for t in run.tasks if t.id in wanted)
        session.err.line(f"{plural(stopped, 'task')} canceled")
    else:
        session.err.line("asked the process that drives the run; it stops them within seconds")
