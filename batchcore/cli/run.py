"""The verb `run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchcore.cli.completion import files
from batchcore.cli.options import run_options

if TYPE_CHECKING:
    from batchcore.cli.session import Session


@click.command(epilog="Example:  batchcore run job.toml --backend local-docker")
@click.argument("job", metavar="JOB", shell_complete=files)
@run_options
@click.pass_obj
def run(session: Session, /, job: str, **given: Any) -> int:
    """Run a job to its end, or go on with it.

    JOB is a controller (.py) or a job file (.toml, .json). The same line again goes on where an
    earlier one stopped, and runs again what did not succeed.
    """
    return start(session, job, given)


def start(session: Session, job: str, given: dict[str, Any]) -> int:
    """Load a job and run it as the options say; return the exit code."""
    from batchcore.cli.execute import execute
    from batchcore.cli.wishes import wishes_of
    from batchcore.errors import UsageError
    from batchcore.jobfile import load_job

    if not job:
        raise UsageError("the name of the job file is empty", hint="write batchcore run job.toml")
    wishes = wishes_of(given, session.same_command)
    loaded = load_job(Path(job))
    code, _run = execute(session, loaded.job, wishes, base=loaded.base, origin=str(loaded.path))
    return code
