"""Driving a client's run: to its end, until all is submitted, or until the time is up."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct

from batchcore.backend import Backend
from batchcore.cli.execute import near
from batchcore.cli.live import display
from batchcore.cli.progress import Progress, Titles
from batchcore.cli.session import Session
from batchcore.clock import Clock, SystemClock
from batchcore.compat.errors import WaitedTooLong
from batchcore.driver import Driver, Policy
from batchcore.errors import Detached
from batchcore.events import Event, TaskChanged, Tick
from batchcore.plan import Plan
from batchcore.plugins import Plugins
from batchcore.record import Record
from batchcore.report.plan import image_text
from batchcore.report.run import closing_text
from batchcore.resume import reopen
from batchcore.run import Run
from batchcore.settings import CoreSettings, job_settings, resolve
from batchcore.signals import detaching
from batchcore.start import observers_of
from batchcore.states import TaskState

_SUBMITTED, _LATE = -1, -2
_SECONDS = 3600


class Wish(Struct, frozen=True, kw_only=True):
    """How long to stay with a run, and how much to say of it."""

    wait: bool = True
    hours: float = 24
    quiet: bool = False
    clock: Clock = SystemClock()


class UntilSubmitted:
    """An observer that leaves a run once each of these tasks is with the backend."""

    def __init__(self, pending: set[str], leave: Callable[[int], None]) -> None:
        """Take the tasks that are not yet."""
        self._pending = pending
        self._preparing: set[str] = set()
        self._leave = leave

    def __call__(self, event: Event) -> None:
        """Leave at the first news after the last submission, which was accepted by then.

        What is being prepared is given the time to start: on this machine it would not do so
        alone.
        """
        if isinstance(event, TaskChanged):
            self._pending.discard(event.task_id)
            self._preparing.discard(event.task_id)
            if event.new is TaskState.PREPARING:
                self._preparing.add(event.task_id)
        started = isinstance(event, TaskChanged) and event.new is not TaskState.QUEUED
        if (started and not self._preparing) or isinstance(event, Tick):
            self._leave_if_submitted()

    def _leave_if_submitted(self) -> None:
        if not self._pending:
            self._leave(_SUBMITTED)


class UntilLate:
    """An observer that leaves a run at a time of a clock that only grows."""

    def __init__(self, clock: Clock, seconds: float, leave: Callable[[int], None]) -> None:
        """Begin to count."""
        self._clock = clock
        self._deadline = clock.monotonic() + seconds
        self._leave = leave

    def __call__(self, _event: Event) -> None:
        """Look at the clock."""
        if self._clock.monotonic() >= self._deadline:
            self._leave(_LATE)


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
) -> Run:
    """Drive a run as long as is wished, and close its record.

    Raises `WaitedTooLong` where the time is up, `Detached` after Ctrl-C, and what the backend
    raises; in all of these cases `load_results` goes on.
    """
    session = Session((), program=("python", sys.argv[0]))
    try:
        with display(session.err, quiet=wish.quiet) as shown:
            titles = Titles(
                version=record.header.version,
                image=image_text(record.header.plan),
                run=near(record.directory),
            )
            progress = Progress(shown, titles, wish.clock, quiet=wish.quiet)
            ended = _drive(
                _driver(record, backend, plugins, core, wish=wish, progress=progress), wish
            )
    finally:
        record.close()
    run = Run.load(record.directory)
    if not wish.quiet:
        _close(session, run, progress.seconds, ended=ended)
    return run


def _driver(
    record: Record,
    backend: Backend,
    plugins: Plugins,
    core: CoreSettings,
    *,
    wish: Wish,
    progress: Progress,
) -> Driver:
    """Make the run ready to go on, and return its driver with an observer that leaves in time."""
    told = observers_of(plugins, record.header.run_id, record.directory, [progress])
    policy = Policy(max_parallel=core.max_parallel, fail_fast=core.fail_fast)
    driver = Driver(record, backend, policy=policy, observers=told, clock=wish.clock)
    with record.errors():
        reopen(record)
        pending = {row.id for row in record.rows() if row.state is TaskState.PENDING}
    told.add(_leaver(driver, pending, wish))
    return driver


def _leaver(driver: Driver, pending: set[str], wish: Wish) -> Callable[[Event], None]:
    if not wish.wait:
        return UntilSubmitted(pending, driver.detach)
    return UntilLate(wish.clock, wish.hours * _SECONDS, driver.detach)


def _drive(driver: Driver, wish: Wish) -> bool:
    """Return whether the run has ended."""
    try:
        with detaching(driver):
            driver.run()
    except Detached as exc:
        if exc.signal_exit == _SUBMITTED:
            return False
        if exc.signal_exit == _LATE:
            raise WaitedTooLong(
                f"the tasks have not ended within {wish.hours:g} hours; they go on",
                hint="call load_results() again, with a larger STORAGE_ACCESS_DURATION_HRS perhaps",
            ) from None
        raise Detached(
            exc.reason,
            hint="load_results() of a client with the same JOB_ID and BATCH_DIRECTORY goes on",
            signal_exit=exc.signal_exit,
        ) from None
    return True


def _close(session: Session, run: Run, seconds: float | None, *, ended: bool) -> None:
    report, marks = run.report(), session.err.marks
    if ended:
        tone = "good" if report.state == "succeeded" else "bad"
        place = near(run.directory.parent.parent)
        session.err.line(closing_text(report, seconds, place, marks), tone)
    else:
        session.err.line(f"{marks.good} submitted; load_results() brings the results", "good")
