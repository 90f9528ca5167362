"""The verb `doctor`."""

from __future__ import annotations

import click

from batchcore.cli.completion import backend_names, directories
from batchcore.cli.options import config_options, json_option, traceback_option
from batchcore.cli.session import Session
from batchcore.doctor import Circumstances, examine
from batchcore.report.data import json_text
from batchcore.report.doctor import count, doctor_data, doctor_lines, doctor_summary

SCHEMA = "batchcore.doctor/1"
PROBLEM = 6


@click.command(epilog="Example:  batchcore doctor --backend local-docker")
@click.option(
    "-b",
    "--backend",
    metavar="NAME",
    multiple=True,
    help="Look at this backend alone.",
    shell_complete=backend_names,
)
@click.option(
    "--runs",
    metavar="DIR",
    help="Where the run directories are (default: .batchcore).",
    shell_complete=directories,
)
@config_options
@json_option
@traceback_option
@click.pass_obj
def doctor(
    session: Session,
    /,
    *,
    backend: tuple[str, ...],
    runs: str | None,
    config: str | None,
    no_config: bool,
) -> int:
    """Look for what keeps tasks from running, with a fix for each.

    Exits 6 where there is a problem; a warning is none. Leaves nothing behind.
    """
    given = Circumstances(environ=session.environ, config=config, no_config=no_config, runs=runs)
    sections = examine(given, backend, clock=session.clock)
    if session.wants_json:
        session.out.json(json_text(SCHEMA, doctor_data(sections)))
    else:
        for line, tone in doctor_lines(sections, session.out.marks):
            session.out.line(line, tone)
    problems = count(sections, "problem")
    session.err.line(doctor_summary(sections), "bad" if problems else "")
    return PROBLEM if problems else 0
