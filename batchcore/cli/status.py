"""The verb `status`."""

from __future__ import annotations

import shlex
import sqlite3
from pathlib import Path

import click

from batchcore.cli.completion import run_names
from batchcore.cli.find import find_run, run_directories, run_option, runs_directory, typed_name
from batchcore.cli.leaving import elsewhere
from batchcore.cli.options import json_option, traceback_option
from batchcore.cli.owner import driver_of, driver_text
from batchcore.cli.session import Session
from batchcore.cli.watch import watch_run
from batchcore.errors import BatchcoreError, UsageError
from batchcore.record.rundir import is_driven
from batchcore.report.data import run_json, runs_json
from batchcore.report.run import RunLine, hidden_text, runs_text, summary_text, tasks_text
from batchcore.results import RunReport
from batchcore.run import Run
from batchcore.states import TaskState
from batchcore.units import seconds

_RECENT = 20
_FAILED = (TaskState.FAILED,)
_SHOWN = 20


@click.command(epilog="Example:  batchcore status sum-of-powers-7f3a --failed")
@click.argument("run", metavar="[RUN]", required=False, shell_complete=run_names)
@click.option("--tasks", "all_tasks", is_flag=True, help="List every task.")
@click.option("--failed", is_flag=True, help="List the failed tasks alone.")
@click.option("--watch", is_flag=True, help="Go on until the run ends.")
@click.option(
    "--interval", metavar="TIME", default="2s", show_default=True, help="How often --watch looks."
)
@run_option
@json_option
@traceback_option
@click.pass_obj
def status(
    session: Session,
    /,
    *,
    run: str | None,
    all_tasks: bool,
    failed: bool,
    watch: bool,
    interval: str,
    runs: str | None,
) -> None:
    """Show how far a run is, or the recent runs.

    RUN is a run's id, the start of one, or a run directory.
    """
    if all_tasks and failed:
        raise UsageError("--tasks and --failed contradict each other", hint="keep one of them")
    if watch and run is None:
        raise UsageError("--watch watches one run", hint="name it: batchcore status RUN --watch")
    if run is None:
        _list_runs(session, runs)
    else:
        found = find_run(run, runs)
        some = not (all_tasks or failed or session.wants_json)
        states = _FAILED if failed or some else None
        name = typed_name(found, run, runs)
        if watch:
            watch_run(session, found, name, seconds(interval, "--interval"))
            if session.wants_json:
                return
        report = found.report(states, _SHOWN if some else -1)
        _show_run(session, found, report, name, some=some)


def _show_run(session: Session, run: Run, report: RunReport, name: str, *, some: bool) -> None:
    if session.wants_json:
        session.out.json(run_json(report, driver_of(report)))
        return
    now = session.clock.now()
    lines = [
        summary_text(report, run.heading.created_at, now),
        tasks_text(report.tasks, now, session.out.width),
        hidden_text(report) if some else "",
    ]
    session.out.line("\n".join(line for line in lines if line))
    if report.state == "running":
        session.err.line(driver_text(driver_of(report), name))
        if report.store:
            session.err.line(elsewhere(report.store))


def _list_runs(session: Session, runs: str | None) -> None:
    place = runs_directory(runs)
    directories = run_directories(place)
    lines = [_run_line(directory) for directory in directories[:_RECENT]]
    if session.wants_json:
        session.out.json(runs_json(lines))
        return
    if not lines:
        session.err.line(f"no runs in {place}; start one: batchcore run JOB")
        return
    session.out.line(runs_text(lines, session.clock.now(), session.out.width))
    for line in lines:
        if line.state == "running" and not is_driven(line.directory):
            name = shlex.quote(str(line.directory) if runs else line.run)
            session.err.line(f"{line.run}: {driver_text(None, name)}")
    if len(directories) > len(lines):
        session.err.line(f"(+ {len(directories) - len(lines)} older ones in {place})")


def _run_line(directory: Path) -> RunLine:
    """Read one run for the list; a damaged one must not hide the others."""
    try:
        run = Run.load(directory)
        report = run.report(states=())
    except (BatchcoreError, sqlite3.Error):
        return RunLine(run=directory.name, state="damaged", directory=directory)
    return RunLine(
        run=run.id,
        state=report.state,
        directory=directory,
        backend=report.backend,
        created_at=run.heading.created_at,
        counts=report.counts,
    )
