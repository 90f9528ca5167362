"""The verb `init`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchcore.cli.completion import directories
from batchcore.cli.options import json_option, traceback_option
from batchcore.cli.session import Session
from batchcore.errors import UsageError

if TYPE_CHECKING:
    from batchcore.scaffold import Style

SCHEMA = "batchcore.init/1"
DIRECTORY = "my-job"


@click.command(epilog="Example:  batchcore init estimate-pi")
@click.argument(
    "place",
    metavar="[DIRECTORY]",
    required=False,
    type=click.Path(path_type=Path),
    shell_complete=directories,
)
@click.option("--name", "job", metavar="NAME", help="The job's name (default: the directory's).")
@click.option("--plugin", metavar="NAME", help="Write the project of a backend of this name.")
@click.option(
    "--style",
    type=click.Choice(["raw", "local"]),
    help="A backend's. raw, the default: the nine methods. local: run commands on this machine.",
)
@click.option(
    "--dir",
    "directory",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="The same as DIRECTORY.",
    shell_complete=directories,
)
@json_option
@traceback_option
@click.pass_obj
def init(
    session: Session,
    /,
    *,
    place: Path | None,
    job: str | None,
    plugin: str | None,
    style: Style | None,
    directory: Path | None,
) -> None:
    """Write a small project: a job, or a new backend.

    It works as it is and passes its own tests; nothing that is there is overwritten. DIRECTORY is
    a new one or an empty one: my-job where none is named, batchcore-NAME for a backend.
    """
    if place and directory:
        raise UsageError("two directories are named", hint="leave out --dir")
    place = place or directory
    if plugin is None:
        if style:
            raise UsageError("--style is for a backend", hint="add --plugin NAME, or leave it out")
        _init_job(session, place or Path(DIRECTORY), job)
        return
    if job is not None:
        raise UsageError("--name is for a job; a backend has that of --plugin", hint="leave it out")
    _init_backend(session, place or Path(f"batchcore-{plugin}"), plugin, style or "raw")


def _init_job(session: Session, directory: Path, name: str | None) -> None:
    from batchcore.scaffold import job_files, job_name, write_project

    name = job_name(directory) if name is None else name
    texts = job_files(name)
    write_project(directory, texts)
    steps = (
        "python controller.py                         # run it here, as processes",
        f"docker build -t {name}:v1 .",
        "python controller.py --backend local-docker  # the same in containers",
        "python -m pytest                             # test it, with pytest installed",
    )
    _tell(session, directory, texts, {"name": name}, steps)


def _init_backend(session: Session, directory: Path, name: str, style: Style) -> None:
    from batchcore.scaffold import project_files, write_project

    texts = project_files(name, style)
    write_project(directory, texts)
    steps = ('pip install -e ".[test]"', "pytest")
    _tell(session, directory, texts, {"backend": name, "style": style}, steps)


def _tell(
    session: Session,
    directory: Path,
    texts: Mapping[str, str],
    about: Mapping[str, Any],
    steps: Sequence[str],
) -> None:
    """Print the files that were written, and what to type next."""
    if session.wants_json:
        from batchcore.report.data import json_text

        data = {**about, "directory": str(directory.absolute()), "files": list(texts)}
        session.out.json(json_text(SCHEMA, data))
        return
    for name in texts:
        session.out.line(str(directory / name))
    there = directory.resolve() == Path.cwd()
    lines = steps if there else (f"cd {shlex.quote(str(directory))}", *steps)
    session.err.line("next:  " + "\n       ".join(lines))
