"""Running a job for a command: what is shown before, while and after it runs."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path

from batchcore.cli.leaving import Leaving, at_service, in_background, say_submitted
from batchcore.cli.live import PlainDisplay, display
from batchcore.cli.owner import driver_of
from batchcore.cli.progress import Display, Progress, Titles
from batchcore.cli.screen import Screen
from batchcore.cli.session import Session
from batchcore.cli.wishes import Wishes
from batchcore.jobfile import dump_job
from batchcore.life.start import Prepared, drive, prepare, submit
from batchcore.model import Job
from batchcore.plugins import Plugins
from batchcore.report.data import json_text, run_json
from batchcore.report.plan import dry_run_text, image_text
from batchcore.report.run import closing_text
from batchcore.report.text import printable
from batchcore.results import RunReport
from batchcore.run import Run
from batchcore.states import FailureReason, TaskState

SUBMIT = "batchcore.submit/1"
_CODES = {"succeeded": 0, "failed": 3, "canceled": 4}


def execute(
    session: Session, job: Job, wishes: Wishes, *, base: Path | None = None, origin: str = ""
) -> tuple[int, Run | None]:
    """Run a job, submit it, or say what would run; return the exit code, and a run that ended."""
    with _warnings_on(session.err):
        plugins = Plugins(environ=session.environ)
        prepared = prepare(job, wishes.options, base=base, origin=origin, plugins=plugins)
        if wishes.dry_run:
            _show_dry_run(session, prepared)
            return 0, None
        name = _name(prepared)
        titles = Titles(version=prepared.header.version, image=image_text(prepared.plan), run=name)
        if wishes.detach:
            _submit(session, prepared, titles, wishes)
            return 0, None
        run, seconds = _drive(session, prepared, titles, wishes)
    report = run.report()
    close(session, report, seconds, name, quiet=wishes.quiet, again=session.same_command)
    if session.wants_json:
        session.out.json(run_json(report))
    return exit_code(report.state), run


def exit_code(state: str) -> int:
    """Return the exit code for how a run ended."""
    return _CODES.get(state, 1)


def _submit(session: Session, prepared: Prepared, titles: Titles, wishes: Wishes) -> None:
    """Submit a job and print what names its run: the data that a script goes on with."""
    if prepared.spec.remote:
        run, _ = _drive(session, prepared, titles, wishes, submit_only=True)
        driver = driver_of(run.report(states=()))
        pid = driver.pid if driver else None
    else:
        if not wishes.quiet:
            _show_notes(PlainDisplay(session.err), prepared, quiet=False)
        pid = submit(prepared)
        run = Run.load(prepared.directory)
    text = at_service(prepared.spec.name) if pid is None else in_background(pid)
    report = run.report(states=())
    if report.state != "running":
        close(session, run.report(), None, titles.run, quiet=wishes.quiet, again="")
    elif not wishes.quiet:
        several = len(prepared.plan.tasks) > 1
        say_submitted(session, text, titles.run, report.store, several=several)
    if session.wants_json:
        data = {
            "run": run.id,
            "backend": report.backend,
            "directory": run.directory,
            "state": report.state,
            "counts": report.counts,
            "store": report.store,
            "driver": None if pid is None else {"pid": pid},
        }
        session.out.json(json_text(SUBMIT, data))
    else:
        words = shlex.split(titles.run)
        session.out.line(words[0])


def _drive(
    session: Session,
    prepared: Prepared,
    titles: Titles,
    wishes: Wishes,
    *,
    submit_only: bool = False,
) -> tuple[Run, float | None]:
    with display(session.err, quiet=wishes.quiet) as shown:
        progress = Progress(
            shown, titles, session.clock, quiet=wishes.quiet, verbose=wishes.verbose
        )
        _show_notes(shown, prepared, quiet=wishes.quiet)
        with closing(progress):
            run = drive(
                prepared,
                [progress],
                submit_only=submit_only,
                leave=Leaving(titles.run, remote=prepared.spec.remote),
                on_interrupt="detach" if submit_only else prepared.settings.core.on_interrupt,
            )
        return run, progress.seconds


def titles_of(run: Run, name: str) -> Titles:
    """Return what the lines about a run that exists name; `name` is what to type for it."""
    return Titles(version=version("batchcore"), image=image_text(run.plan), run=name)


@contextmanager
def watched(session: Session, run: Run, name: str, *, quiet: bool = False) -> Iterator[Progress]:
    """Show how a run that exists goes on, to an observer, as long as a block."""
    titles = titles_of(run, name)
    with (
        _warnings_on(session.err),
        display(session.err, quiet=quiet) as shown,
        closing(Progress(shown, titles, session.clock, quiet=quiet)) as progress,
    ):
        yield progress


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


def close(
    session: Session,
    report: RunReport,
    seconds: float | None,
    name: str,
    *,
    quiet: bool,
    again: str,
) -> None:
    """Say how the run ended and, where it did not succeed, what to type next.

    `again` is the command that runs again what did not succeed, "" where it is not known.
    """
    succeeded = report.state == "succeeded"
    if succeeded and quiet:
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
        session.err.line(f"  why:    batchcore explain {name}")
        session.err.line(f"  retry:  batchcore retry {name}   (only what failed)")
    if again:
        session.err.line(f"  again:  {again}   (only what did not succeed)")


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
