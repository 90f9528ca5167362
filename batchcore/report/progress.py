"""How a run goes while it goes: counted from its events, and put into a few lines."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from msgspec import Struct

from batchcore.events import Event, RunStarted, TaskChanged
from batchcore.report.run import counts_text, failure_text
from batchcore.report.text import Marks, cut, plural
from batchcore.states import TaskState
from batchcore.units import show_seconds

LAST_FAILURES = 3
_BAR = 24
_ROOM_FOR_A_BAR = 60
_ENDS_LOOKED_AT = 200
_MINUTE = 60
_HOUR = 3600


class Failure(Struct, frozen=True, kw_only=True):
    """A task that failed, and why in a few words."""

    task_id: str
    why: str


class View(Struct, frozen=True, kw_only=True):
    """How far a run is; times are seconds since the epoch.

    `failures` are the last ones, the newest first, of `failed`. `ends` tasks have ended `since` a
    time, which is what the rate goes by.
    """

    total: int
    counts: Mapping[TaskState, int]
    failures: tuple[Failure, ...]
    started_at: float
    ends: int
    since: float

    @property
    def done(self) -> int:
        """How many tasks have ended."""
        return sum(count for state, count in self.counts.items() if state.final)

    @property
    def failed(self) -> int:
        """How many tasks have failed."""
        return self.counts[TaskState.FAILED]

    def rate(self, now: float) -> float | None:
        """Return how many tasks end in a second; None while too few have ended to say so."""
        if self.ends < 2 or now <= self.since:  # noqa: PLR2004 - one end may be an accident
            return None
        return self.ends / (now - self.since)

    def seconds_left(self, now: float) -> float | None:
        """Return a guess of the seconds that are left, from the rate; None where there is none."""
        rate = self.rate(now)
        return None if rate is None else (self.total - self.done) / rate


class Tally:
    """Counts the tasks of a run from its events, each event in the same short time."""

    def __init__(self) -> None:
        """Begin before the first event."""
        self._counts = dict.fromkeys(TaskState, 0)
        self._failures: deque[Failure] = deque(maxlen=LAST_FAILURES)
        self._ends: deque[float] = deque(maxlen=_ENDS_LOOKED_AT)
        self._total = 0
        self._since = self._started_at = 0.0

    def add(self, event: Event) -> None:
        """Take one event."""
        match event:
            case RunStarted():
                self._begin(event)
            case TaskChanged():
                self._change(event)
            case _:
                pass

    def view(self) -> View:
        """Return what is known now."""
        return View(
            total=self._total,
            counts=self._counts.copy(),
            failures=tuple(self._failures),
            started_at=self._started_at,
            ends=len(self._ends),
            since=self._since,
        )

    def _begin(self, event: RunStarted) -> None:
        self._total = event.tasks
        self._since = self._started_at = event.at
        known = event.counts or {TaskState.PENDING: event.tasks}
        self._counts = dict.fromkeys(TaskState, 0) | known

    def _change(self, event: TaskChanged) -> None:
        self._counts[event.old] -= 1
        self._counts[event.new] += 1
        if event.new is TaskState.FAILED:
            why = failure_text(event.reason, event.exit_code, event.duration, event.detail)
            self._failures.appendleft(Failure(task_id=event.task_id, why=why))
        # What had ended before anybody looked says nothing about how fast tasks end.
        if event.new.final and event.at > self._started_at:
            if len(self._ends) == _ENDS_LOOKED_AT:
                self._since = self._ends[0]
            self._ends.append(event.at)


def words_text(view: View) -> str:
    """Return how many tasks have ended, and how many are in which state."""
    counts = counts_text({state.value: count for state, count in view.counts.items()})
    return "  ".join(part for part in (f"{view.done:,}/{view.total:,}", counts) if part)


def pace_text(view: View, now: float, marks: Marks) -> str:
    """Return how fast tasks end and how long that will go on; empty where nobody can say."""
    rate, left = view.rate(now), view.seconds_left(now)
    if rate is None or not left:
        return ""
    if rate >= 1:
        speed = f"{rate:,.1f} tasks/s"
    elif rate * _MINUTE >= 1:
        speed = f"{plural(round(rate * _MINUTE), 'task')}/min"
    else:
        speed = f"{plural(round(rate * _HOUR), 'task')}/h"
    rest = show_seconds(left) if left >= _MINUTE else f"{left:.0f} s"
    return f"{speed} {marks.dot} about {rest} left"


def view_lines(view: View, now: float, name: str, width: int, marks: Marks) -> Iterator[str]:
    """Yield the lines of the live view, none longer than `width`; `name` names the run in commands.

    First how far the run is, then how fast it goes, then the last failures and what to type.
    """
    bar = f"{bar_text(view.done, view.total, marks)}  " if width >= _ROOM_FOR_A_BAR else ""
    yield cut(f"  {bar}{words_text(view)}  {show_seconds(now - view.started_at)}", width)
    pace = pace_text(view, now, marks)
    if pace:
        yield cut(f"  {pace}", width)
    for failure in view.failures:
        yield cut(f"{marks.bad} {failure.task_id}  {failure.why}", width)
    if view.failures:
        more = view.failed - len(view.failures)
        others = f"   {more:,} more: batchcore status {name} --failed" if more else ""
        yield cut(f"  look: batchcore logs {name} {view.failures[0].task_id}{others}", width)


def bar_text(done: int, total: int, marks: Marks) -> str:
    """Return how much is done, as a bar."""
    full = _BAR * done // total if total else _BAR
    return marks.full * full + marks.empty * (_BAR - full)
