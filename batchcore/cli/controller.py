"""`batchcore.main`: the options of ``batchcore run`` for any controller script."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from batchcore.cli.edge import call
from batchcore.cli.execute import execute
from batchcore.cli.options import run_options
from batchcore.cli.session import Session
from batchcore.cli.wishes import wishes_of
from batchcore.jobfile import capture
from batchcore.model import Job
from batchcore.run import Run


def main(job: Job, argv: Sequence[str] | None = None) -> Run:
    """Run a job as the command line says, and return its `Run` once every task has succeeded.

    `argv` are the words of the command, default this script's own: see ``--help``. Everything
    that is said goes to stderr, the report of ``--json`` to stdout. Where not every task
    succeeded, and after ``--dry-run``, the process exits with the exit code of ``batchcore run``,
    so the line after this call can use the results.
    """
    capture(job)
    script = Path(sys.argv[0])
    session = Session(
        sys.argv[1:] if argv is None else argv, program=("python", sys.argv[0] or "-")
    )
    runs: list[Run] = []

    @click.command(
        name=f"python {script.name}",
        help=f"Run the job {job.name} to its end, or go on with it.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    @run_options
    @click.pass_obj
    def controller(session: Session, /, **given: Any) -> int:
        wishes = wishes_of(given, session.same_command)
        origin = sys.argv[0] if script.is_file() else ""
        code, run = execute(session, job, wishes, origin=origin)
        runs.extend([run] if run else [])
        return code

    code = call(controller, session)
    if code or not runs:
        sys.exit(code)
    return runs[0]
