"""The verb `attach`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from batchcore.cli.execute import near
from batchcore.cli.leaving import next_commands
from batchcore.cli.options import config_options, json_option, traceback_option
from batchcore.cli.session import Session
from batchcore.life.attach import attach_run, known_tasks
from batchcore.life.start import Options
from batchcore.plugins import Plugins
from batchcore.report.data import json_text
from batchcore.report.text import plural
from batchcore.run import Run

SCHEMA = "batchcore.attach/1"


@click.command(epilog="Example:  batchcore wait $(batchcore attach az://batchcore/demo-7f3a)")
@click.argument("url", metavar="URL")
@click.option("-b", "--backend", metavar="NAME", default="", help="The backend that opens the URL.")
@click.option("--set", "items", metavar="KEY=VALUE", multiple=True, help="Set a backend's option.")
@click.option("--dir", "directory", metavar="DIR", help="The run directory itself.")
@click.option("--runs", metavar="DIR", help="Where the run directories are (default: .batchcore).")
@json_option
@config_options
@traceback_option
@click.pass_obj
def attach(
    session: Session,
    /,
    *,
    url: str,
    backend: str,
    items: tuple[str, ...],
    directory: str | None,
    runs: str | None,
    config: str | None,
    no_config: bool,
) -> int:
    """Take up a run that another machine began; print its id alone.

    URL is the run's store, as submit and status --json print it there. Makes a run directory
    here, in which no task has started yet: wait then adopts what runs, collects what has ended,
    and starts what has not been started.
    """
    options = Options(
        backend=backend,
        items=items,
        directory=Path(directory) if directory else None,
        runs=runs,
        config=Path(config) if config else None,
        no_config=no_config,
    )
    plugins = Plugins(environ=session.environ)
    run = attach_run(url, options, plugins)
    known = known_tasks(run, plugins)
    found_by_id = not (directory or runs or config or no_config)
    name = run.id if found_by_id else near(run.directory)
    _say_attached(session, run, shlex.quote(name), known)
    if session.wants_json:
        _show_json(session, run, known)
    else:
        session.out.line(name)
    return 0


def _say_attached(session: Session, run: Run, name: str, known: int | None) -> None:
    count = len(run.heading.task_ids)
    has = f". {run.heading.backend} has {known} of its {plural(count, 'task')}."
    good = f"{session.err.marks.good} attached"
    session.err.line(good if known is None else good + has, "good")
    for line in next_commands(name, several=count > 1).splitlines():
        session.err.line(f"  {line}")


def _show_json(session: Session, run: Run, known: int | None) -> None:
    report = run.report(states=())
    data = {
        "run": run.id,
        "backend": report.backend,
        "directory": run.directory,
        "state": report.state,
        "counts": report.counts,
        "store": report.store,
        "known": known,
    }
    session.out.json(json_text(SCHEMA, data))
