"""The verb `submit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from batchcore.cli.completion import files
from batchcore.cli.options import submit_options
from batchcore.cli.run import start

if TYPE_CHECKING:
    from batchcore.cli.session import Session


@click.command(epilog="Example:  RUN=$(batchcore submit job.toml); batchcore wait $RUN")
@click.argument("job", metavar="JOB", shell_complete=files)
@submit_options
@click.pass_obj
def submit(session: Session, /, job: str, **given: Any) -> int:
    """Hand a job over and leave; print the run's id alone.

    JOB is a controller (.py) or a job file (.toml, .json). A process in the background drives the
    run; on Azure the service has what was submitted. It is the same as run --detach.
    """
    return start(session, job, {**given, "detach": True})
