"""The verb `report`."""

from __future__ import annotations

from pathlib import Path

import click

from batchcore.cli.completion import files, run_names
from batchcore.cli.execute import near
from batchcore.cli.find import find_run, run_option, typed_name
from batchcore.cli.options import json_option, traceback_option
from batchcore.cli.session import Session
from batchcore.errors import UsageError
from batchcore.history import read_history
from batchcore.report.files import NAME, history_json, write_report


@click.command(epilog="Example:  batchcore report sum-of-powers-7f3a")
@click.argument("run", metavar="RUN", shell_complete=run_names)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help=f"Where the page goes (default: {NAME} in the run directory).",
    shell_complete=files,
)
@run_option
@json_option
@traceback_option
@click.pass_obj
def report(session: Session, /, *, run: str, output: str | None, runs: str | None) -> None:
    """Make one HTML page of a run.

    It shows times, failures, attempts and versions, and needs no network and no other file. Beside
    it trace.csv has a line for each attempt, and report.json all that the page shows. With --json
    that is printed, and nothing is written unless --output says where. A run that goes on is
    reported as it stands.
    """
    if output == "":
        raise UsageError("--output is empty", hint="name a file, or leave --output out")
    found = find_run(run, runs)
    # A page is read later, when the start of an id may fit another run too.
    whole = found.id if found.id.startswith(run) else run
    history = read_history(found, name=typed_name(found, whole, runs), now=session.clock.now())
    page = None
    if output or not session.wants_json:
        page = write_report(history, Path(output) if output else found.directory / NAME)
    if session.wants_json:
        session.out.json(history_json(history))
    elif page is not None:
        session.out.line(str(near(page)))
        session.err.line("open it in a browser; trace.csv and report.json are beside it")
