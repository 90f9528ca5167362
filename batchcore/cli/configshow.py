"""The settings that apply here, each with its origin."""

from __future__ import annotations

import click

from batchcore.cli.completion import backend_names
from batchcore.cli.options import config_options, json_option, traceback_option
from batchcore.cli.session import Session
from batchcore.plugins import Plugins
from batchcore.report.backends import shown
from batchcore.report.data import json_text
from batchcore.report.text import table
from batchcore.settings import resolve

SCHEMA = "batchcore.config/1"


@click.command("show", epilog="Example:  batchcore config show --backend local-docker")
@click.option(
    "-b",
    "--backend",
    metavar="NAME",
    help="Show the settings of this backend.",
    shell_complete=backend_names,
)
@config_options
@json_option
@traceback_option
@click.pass_obj
def show_config(
    session: Session, /, *, backend: str | None, config: str | None, no_config: bool
) -> None:
    """Show each setting and its origin; what looks secret is hidden.

    What a job file sets is not part of it.
    """
    settings = resolve(
        Plugins(environ=session.environ),
        flags={"backend": backend},
        environ=session.environ,
        config=config,
        no_config=no_config,
    )
    if session.wants_json:
        session.out.json(json_text(SCHEMA, {"settings": settings.redacted()}))
        return
    rows = [(row.key, shown(row.value), row.origin) for row in settings.redacted()]
    session.out.line(table(("KEY", "VALUE", "ORIGIN"), rows, session.out.width))
