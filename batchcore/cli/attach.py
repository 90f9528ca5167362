"""The verb `attach`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from batchcore.cli.completion import backend_names, directories
from batchcore.cli.execute import near
from batchcore.cli.leaving import next_commands
from batchcore.cli.options import config_options, json_option, traceback_option
from batchcore.cli.session import Session
from batchcore.cli.wishes import refuse_empty
from batchcore.life.attach import Attached, attach_run
from batchcore.life.start import Options
from batchcore.plugins import Plugins
from batchcore.report.data import json_text
from batchcore.report.text import plural

SCHEMA = "batchcore.attach/1"


@click.command(epilog="Example:  batchcore wait $(batchcore attach az://batchcore/demo-7f3a)")
@click.argument("url", metavar="URL")
@click.option(
    "-b",
    "--backend",
    metavar="NAME",
    help="The backend that opens the URL.",
    shell_complete=backend_names,
)
@click.option("--set", "items", metavar="KEY=VALUE", multiple=True, help="Set a backend's option.")
@click.option(
    "--dir",
    "directory",
    metavar="DIR",
    help="The run directory itself.",
    shell_complete=directories,
)
@click.option(
    "--runs",
    metavar="DIR",
    help="Where the run directories are (default: .batchcore).",
    shell_complete=directories,
)
@json_option
@config_options
@traceback_option
@click.pass_obj
def attach(
    session: Session,
    /,
    *,
    url: str,
    backend: str | None,
    items: tuple[str, ...],
    directory: str | None,
    runs: str | None,
    config: str | None,
    no_config: bool,
) -> int:
    """Take up a run that another machine began; print its id alone.

    URL is the run's store, as submit and status --json print it there. Makes a run directory
    here, in which the tasks are as the service says: wait then collects what has ended, waits for
    what runs, and starts what has not been started.
    """
    refuse_empty({"backend": backend, "directory": directory, "runs": runs, "config": config})
    options = Options(
        backend=backend or "",
        items=items,
        directory=Path(directory) if directory else None,
        runs=runs,
        config=Path(config) if config else None,
        no_config=no_config,
    )
    attached = attach_run(url, options, Plugins(environ=session.environ))
    run = attached.run
    found_by_id = not (directory or runs or config or no_config)
    name = run.id if found_by_id else near(run.directory)
    _say_attached(session, attached, shlex.quote(name))
    if session.wants_json:
        _show_json(session, attached)
    else:
        session.out.line(name)
    return 0


def _say_attached(session: Session, attached: Attached, name: str) -> None:
    run, known = attached.run, attached.known
    if (state := run.state) != "running":
        session.err.line(f"the run is here already, and has ended: {state}")
        session.err.line(f"  look:   batchcore status {name}")
        return
    count = len(run.heading.task_ids)
    has = f". {run.heading.backend} has {known} of its {plural(count, 'task')}."
    good = f"{session.err.marks.good} attached"
    session.err.line(good if known is None else good + has, "good")
    for line in next_commands(name, several=count > 1).splitlines():
        session.err.line(f"  {line}")


def _show_json(session: Session, attached: Attached) -> None:
    run = attached.run
    report = run.report(states=())
    data = {
        "run": run.id,
        "backend": report.backend,
        "directory": run.directory,
        "state": report.state,
        "counts": report.counts,
        "store": report.store,
        "known": attached.known,
    }
    session.out.json(json_text(SCHEMA, data))
