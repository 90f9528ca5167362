"""The verb `retry`."""

from __future__ import annotations

import click

from batchcore.cli.completion import run_names, task_ids
from batchcore.cli.execute import close, exit_code, watched
from batchcore.cli.find import find_run, run_option, typed_name
from batchcore.cli.leaving import Leaving
from batchcore.cli.options import json_option, traceback_option
from batchcore.cli.session import Session
from batchcore.life.retry import retry_run
from batchcore.plugins import Plugins
from batchcore.report.data import json_text

SCHEMA = "batchcore.life.retry/1"


@click.command(epilog="Example:  batchcore retry sum-of-powers-7f3a --reason out_of_memory")
@click.argument("run", metavar="RUN", shell_complete=run_names)
@click.option(
    "--task",
    "tasks",
    metavar="GLOB",
    multiple=True,
    help="Run these tasks again.",
    shell_complete=task_ids,
)
@click.option(
    "--reason", "reasons", metavar="REASON", multiple=True, help="Run what failed so again."
)
@click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong.")
@run_option
@json_option
@traceback_option
@click.pass_obj
def retry(
    session: Session,
    /,
    *,
    run: str,
    tasks: tuple[str, ...],
    reasons: tuple[str, ...],
    quiet: bool,
    runs: str | None,
) -> int:
    """Run again what failed, or some of it; all else stays as it ended.

    Needs no job file. What failed because it waits for a task goes with that task. A canceled
    task runs again where --task or the reason "canceled" names it. Exits as run does, and 0 where
    there is nothing to run again. An interrupted retry goes on.
    """
    found = find_run(run, runs)
    ended = found.has_ended
    name = typed_name(found, run, runs)
    remote = Plugins(environ=session.environ).spec(found.heading.backend).remote
    with watched(session, found, name, quiet=quiet) as progress:
        leave = Leaving(name, remote=remote)
        chosen = retry_run(found, tasks, reasons, [progress], leave=leave)
    report = found.report()
    if session.wants_json:
        retried = [task.id for task in report.tasks if task.id in chosen]
        data = {"run": found.id, "retried": retried, "state": report.state}
        session.out.json(json_text(SCHEMA, {**data, "counts": report.counts}))
    if ended and not chosen:
        some = "of these has" if tasks or reasons else "has"
        session.err.line(f"nothing to retry: no task {some} failed")
        return 0
    close(session, report, progress.seconds, name, quiet=quiet, again="")
    return exit_code(report.state)
