"""The verb `init`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchcore.cli.options import json_option, traceback_option
from batchcore.cli.session import Session

if TYPE_CHECKING:
    from batchcore.scaffold import Style

SCHEMA = "batchcore.init/1"


@click.command(epilog="Example:  batchcore init --plugin my-cluster")
@click.option("--plugin", metavar="NAME", help="Write the project of a backend of this name.")
@click.option(
    "--style",
    type=click.Choice(["raw", "local"]),
    default="raw",
    show_default=True,
    help="raw: the nine methods. local: a way to run commands on this machine.",
)
@click.option(
    "--dir",
    "directory",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Where to write it (default: batchcore-NAME).",
)
@json_option
@traceback_option
@click.pass_obj
def init(session: Session, plugin: str | None, style: Style, directory: Path | None) -> None:
    """Write the project of a new backend.

    It works as it is and passes its own tests; nothing that is there is overwritten.
    """
    from batchcore.errors import UsageError
    from batchcore.report.data import json_text
    from batchcore.scaffold import project_files, write_project

    if plugin is None:
        raise UsageError(
            "init was not told what to write", hint="type: batchcore init --plugin NAME"
        )
    texts = project_files(plugin, style)
    directory = directory or Path(f"batchcore-{plugin}")
    write_project(directory, texts)
    if session.wants_json:
        data = {"backend": plugin, "style": style, "directory": str(directory.absolute())}
        session.out.json(json_text(SCHEMA, {**data, "files": list(texts)}))
        return
    for name in texts:
        session.out.line(str(directory / name))
    session.err.line(f'next:  cd {directory}\n       pip install -e ".[test]"\n       pytest')
