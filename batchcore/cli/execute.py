"""Running a job for a command: what is shown before, while and after it runs."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batchcore.cli.live import display
from batchcore.cli.progress import Display, Progress, Titles
from batchcore.cli.screen import Screen
from batchcore.cli.session import Session
from batchcore.cli.wishes import Wishes
from batchcore.jobfile import dump_job
from batchcore.model import Job
from batchcore.plugins import Plugins
from batchcore.report.data import run_json
from batchcore.report.plan import dry_run_text, image_text
from batchcore.report.run import closing_text
from batchcore.report.text import printable
from batchcore.run import Run, RunReport
from batchcore.start import Prepared, drive, prepare
from batchcore.states import FailureReason, TaskState

_CODES = {"succeeded": 0, "failed": 3, "canceled": 4}


def execute(
    session: Session, job: Job, wishes: Wishes, *, base: Path | None = None, origin: str = ""
) -> tuple[int, Run | None]:
    """Run a job, or with ``--dry-run`` say what would run; return the exit code and the run."""
    with _warnings_on(session.err):
        plugins = Plugins(environ=session.environ)
        prepared = prepare(job, wishes.options, base=base, origin=origin, plugins=plugins)
        if wishes.dry_run:
            _show_dry_run(session, prepared)
            return 0, None
        name = _name(prepared)
        titles = Titles(version=prepared.header.version, image=image_text(prepared.plan), run=name)
        run, seconds = _drive(session, prepared, titles, wishes)
    report = run.report()
    _close(session, report, seconds, wishes, name)
    if session.wants_json:
        session.out.json(run_json(report))
    return _CODES.get(report.state, 1), run


def _drive(
    session: Session, prepared: Prepared, titles: Titles, wishes: Wishes
) -> tuple[Run, float | None]:
    with display(session.err, quiet=wishes.quiet) as shown:
        progress = Progress(
            shown, titles, session.clock, quiet=wishes.quiet, verbose=wishes.verbose
        )
        _show_notes(shown, prepared, quiet=wishes.quiet)
        return drive(prepared, [progress]), progress.seconds


def _show_notes(shown: Display, prepared: Prepared, *, quiet: bool) -> None:
    for note in () if quiet else prepared.check.notes:
        shown.line(f"note: {printable(note)}", "note")


def _show_dry_run(session: Session, prepared: Prepared) -> None:
    prepared.backend.close()
    if session.wants_json:
        session.out.json(dump_job(prepared.job))
        return
    exists = (prepared.directory / "job.json").exists()
    session.out.line(dry_run_text(prepared, near(prepared.directory), exists=exists))


def _close(
    session: Session, report: RunReport, seconds: float | None, wishes: Wishes, name: str
) -> None:
    """Say how the run ended and, where it did not succeed, what to type next."""
    succeeded = report.state == "succeeded"
    if succeeded and wishes.quiet:
        return
    marks = session.err.marks
    place = near(report.directory / "outputs")
    session.err.line(closing_text(report, seconds, place, marks), "good" if succeeded else "bad")
    if succeeded:
        return
    failed = [task for task in report.tasks if task.state is TaskState.FAILED]
    if failed:
        # A task that only waited for another one wrote nothing.
        telling = [task for task in failed if task.reason is not FailureReason.DEPENDENCY]
        task_id = (telling or failed)[0].id
        session.err.line(f"  look:   batchcore logs {name} {task_id}")
    session.err.line(f"  again:  {session.same_command}   (only what did not succeed)")


def _name(prepared: Prepared) -> str:
    """Return what to type to name the run: its id where that is enough, else its directory."""
    options = prepared.options
    found_by_id = options.directory is None and not (
        options.runs or options.config or options.no_config
    )
    return prepared.run_id if found_by_id else shlex.quote(near(prepared.directory))


def near(path: Path) -> str:
    """Return a path as it is typed from here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


@contextmanager
def _warnings_on(screen: Screen) -> Iterator[None]:
    """Show what the library warns of, such as a broken observer, as lines without traceback."""
    handler = _Lines(screen)
    logger = logging.getLogger("batchcore")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Lines(logging.Handler):
    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.WARNING)
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        why = "" if error is None else f": {type(error).__name__}: {error}"
        self._screen.line(" ".join(f"warning: {record.getMessage()}{why}".split()), "note")
