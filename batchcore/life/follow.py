"""Following a run that another process drives, by looking at its record now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from batchcore.clock import Clock
from batchcore.driver.driver import patience_to_cancel
from batchcore.driver.signals import CANCELING, at_signals
from batchcore.errors import Detached
from batchcore.events import Observers, RunEnded, RunStarted, TaskChanged, Tick
from batchcore.record import Record, TaskRow
from batchcore.record.rundir import is_driven
from batchcore.run import Run
from batchcore.settings import OnInterrupt
from batchcore.states import TaskState

_SOON = 0.5
_LATER = 5.0
_SHARE = 9.0  # a look at a run of very many tasks may cost a tenth of the time


def follow(
    run: Run,
    observers: Observers,
    clock: Clock,
    until: float | None = None,
    interrupted: Callable[[], float] | None = None,
) -> None:
    """Tell what a driver does until it has gone, or until a time of the clock that only grows.

    At the first Ctrl-C `interrupted` is called where there is one, and returns that time.
    """
    follower, pace = Follower(run, observers, clock), Pace(clock)
    driven = True
    while driven and (until is None or clock.monotonic() < until):
        try:
            # Asked before the record is read: what the driver wrote last is not missed.
            driven = is_driven(run.directory)
            news = follower.look()
            if driven:
                pace.rest(news=news or follower.ended, until=until)
        except KeyboardInterrupt:
            if interrupted is None:
                raise
            until, interrupted = interrupted(), None


def follow_driver(
    run: Run, observers: Observers, clock: Clock, on_interrupt: OnInterrupt = "detach"
) -> None:
    """Tell what the process that drives a run does, until it has gone.

    A signal asks it to cancel all tasks where `on_interrupt` says so, and raises
    `KeyboardInterrupt` where not, as the next one does. Raises `Detached` where canceling took
    too long.
    """
    if on_interrupt == "detach":
        follow(run, observers, clock)
        return
    patience = patience_to_cancel(run.plan)
    codes: list[int] = []

    def interrupt(exit_code: int) -> None:
        codes.append(exit_code)
        raise KeyboardInterrupt

    def cancel() -> float:
        run.cancel()
        return clock.monotonic() + patience

    with at_signals(interrupt, CANCELING):
        follow(run, observers, clock, interrupted=cancel)
    if codes and not run.has_ended and is_driven(run.directory):
        raise Detached(
            f"Detached. The tasks were asked to stop, and have not within {patience:.0f} s.",
            signal_exit=codes[0],
        )


class Follower:
    """Tells observers what they would hear from the driver, a little later.

    All that a look finds has the time of the look.
    """

    def __init__(self, run: Run, observers: Observers, clock: Clock) -> None:
        """Begin with nothing seen."""
        self.run = run
        self.ended = False
        self._observers = observers
        self._clock = clock
        self._at = clock.now()
        self._seen: dict[str, tuple[TaskState, int]] = {}
        self._counts: dict[TaskState, int] | None = None

    def look(self) -> bool:
        """Tell what is new since the last look; return whether there was anything."""
        self._at = self._clock.now()
        record = Record.read(self.run.directory, self.run.heading, whole=False)
        try:
            with record.errors():
                ended, counts = record.has_ended, record.counts()
                rows = record.rows() if counts != self._counts else []
        finally:
            record.close()
        if self._counts is None:
            self._begin(counts)
        for row, old in list(self._changed(rows)):
            self._tell(row, old)
        self._counts = counts
        if ended and not self.ended:
            self._end(counts)
        elif not rows:
            self._observers.tell(Tick(at=self._at))
        self.ended = ended
        return bool(rows)

    def _changed(self, rows: list[TaskRow]) -> Iterator[tuple[TaskRow, TaskState]]:
        for row in rows:
            old, attempt = self._seen.get(row.id, (TaskState.PENDING, 0))
            self._seen[row.id] = row.state, row.attempt
            if (old, attempt) != (row.state, row.attempt) and row.state is not TaskState.PENDING:
                yield row, old

    def _begin(self, counts: dict[TaskState, int]) -> None:
        self._observers.tell(
            RunStarted(
                at=self._at,
                run_id=self.run.id,
                backend=self.run.heading.backend,
                tasks=sum(counts.values()),
                already_succeeded=0,
                resumed=True,
                directory=str(self.run.directory),
                counts={TaskState.PENDING: sum(counts.values())},
            )
        )

    def _tell(self, row: TaskRow, old: TaskState) -> None:
        duration = None
        if row.started_at is not None and row.ended_at is not None:
            duration = max(row.ended_at - row.started_at, 0.0)
        self._observers.tell(
            TaskChanged(
                at=self._at,
                task_id=row.id,
                attempt=row.attempt,
                old=old,
                new=row.state,
                reason=row.reason,
                exit_code=row.exit_code,
                detail=row.detail,
                duration=duration,
                started_at=row.started_at,
                ended_at=row.ended_at,
            )
        )

    def _end(self, counts: dict[TaskState, int]) -> None:
        self._observers.tell(
            RunEnded(
                at=self._at,
                run_id=self.run.id,
                state=self.run.state,
                succeeded=counts.get(TaskState.SUCCEEDED, 0),
                failed=counts.get(TaskState.FAILED, 0),
                canceled=counts.get(TaskState.CANCELED, 0),
            )
        )


class Pace:
    """How long to pause between looks: short while there is news, longer while there is none."""

    def __init__(self, clock: Clock) -> None:
        """Begin with short pauses."""
        self._clock = clock
        self._pause = _SOON
        self._since = clock.monotonic()

    def rest(self, *, news: bool, until: float | None = None) -> None:
        """Sleep after a look, never beyond `until` by the clock that only grows."""
        spent = self._clock.monotonic() - self._since
        self._pause = _SOON if news else min(self._pause * 1.5, _LATER)
        pause = max(self._pause, _SHARE * spent)
        if until is not None:
            pause = max(min(pause, until - self._clock.monotonic()), 0.0)
        self._clock.sleep(pause)
        self._since = self._clock.monotonic()
