"""Driving a client's run: to its end, until all is submitted, or until the time is up."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from batchcore.backend import Backend
from batchcore.cli.execute import near, watched
from batchcore.cli.progress import Progress
from batchcore.cli.session import Session
from batchcore.clock import Clock, SystemClock
from batchcore.compat.errors import WaitedTooLong
from batchcore.driver import Policy
from batchcore.driver.drive import drive_record, observers_of
from batchcore.errors import Detached, WaitTimeout
from batchcore.life.background import hand_over
from batchcore.life.manage import wait_run
from batchcore.plan import Plan
from batchcore.plugins import Plugins
from batchcore.record import Record
from batchcore.record.resume import reopen
from batchcore.report.run import closing_text
from batchcore.run import Run
from batchcore.settings import CoreSettings, job_settings, resolve

_SECONDS = 3600


class Wish(Struct, frozen=True, kw_only=True):
    """How long to stay with a run, and how much to say of it."""

    wait: bool = True
    hours: float = 24
    quiet: bool = False
    clock: Clock = SystemClock()


@contextmanager
def opened(plugins: Plugins, plan: Plan, backend: str) -> Iterator[tuple[Backend, CoreSettings]]:
    """Open the backend of a run with the settings that apply now."""
    settings = resolve(plugins, flags={"backend": backend}, job=job_settings(plan))
    made = plugins.create(backend, settings.backend)
    try:
        yield made, settings.core
    finally:
        made.close()


def drive(
    record: Record, backend: Backend, plugins: Plugins, core: CoreSettings, wish: Wish
) -> None:
    """Drive a run as long as is wished, and close its record and its backend.

    Raises `WaitedTooLong` where the time is up, `Detached` after Ctrl-C, and what the backend
    raises; in all of these cases `load_results` goes on.
    """
    with _shown(Run.load(record.directory), wish) as progress:
        drive_record(
            record,
            backend,
            Policy(max_parallel=core.max_parallel, fail_fast=core.fail_fast),
            observers_of(plugins, record.header.run_id, record.directory, [progress]),
            clock=wish.clock,
            submit_only=not wish.wait,
            timeout=wish.hours * _SECONDS if wish.wait else None,
        )


def submit(record: Record, wish: Wish) -> None:
    """Hand a run to a background driver, and close its record."""
    try:
        with record.errors():
            reopen(record)
        hand_over(record)
    finally:
        record.close()
    _say_submitted(Run.load(record.directory), wish)


def join(run: Run, wish: Wish) -> None:
    """Follow a run that a background driver has, or leave it to that; raises what `drive` does."""
    if wish.wait:
        wait(run, wish)
    else:
        _say_submitted(run, wish)


def wait(run: Run, wish: Wish) -> None:
    """Follow a run to its end, or drive it where nobody does; raises what `drive` does."""
    with _shown(run, wish) as progress:
        wait_run(run, [progress], timeout=wish.hours * _SECONDS, clock=wish.clock)


@contextmanager
def _shown(run: Run, wish: Wish) -> Iterator[Progress]:
    """Show how a run goes and how it ended, and say in what controllers know what went wrong."""
    session = Session((), program=("python", sys.argv[0]))
    try:
        with watched(session, run, near(run.directory), quiet=wish.quiet) as progress:
            yield progress
    except WaitTimeout:
        raise WaitedTooLong(
            f"the tasks have not ended within {wish.hours:g} hours; they go on",
            hint="call load_results() again, with a larger STORAGE_ACCESS_DURATION_HRS perhaps",
        ) from None
    except Detached as exc:
        raise Detached(
            exc.reason,
            hint="load_results() of a client with the same JOB_ID and BATCH_DIRECTORY goes on",
            signal_exit=exc.signal_exit,
        ) from None
    if not wish.quiet:
        _close(session, run, progress.seconds, ended=wish.wait)


def _say_submitted(run: Run, wish: Wish) -> None:
    if not wish.quiet:
        _close(Session(()), run, None, ended=False)


def _close(session: Session, run: Run, seconds: float | None, *, ended: bool) -> None:
    report, marks = run.report(), session.err.marks
    if ended:
        tone = "good" if report.state == "succeeded" else "bad"
        place = near(run.directory.parent.parent)
        session.err.line(closing_text(report, seconds, place, marks), tone)
    else:
        session.err.line(f"{marks.good} submitted; load_results() brings the results", "good")
