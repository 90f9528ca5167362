"""How a run goes, told to a person while it goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from batchcore.clock import Clock
from batchcore.events import Event, Note, RunEnded, RunStarted, Staged, TaskChanged, Tick
from batchcore.report.run import counts_text, failure_text
from batchcore.report.text import Marks, plural, printable
from batchcore.states import TaskState
from batchcore.units import show_seconds

_QUIET_SECONDS = 30.0
_FAILURES_SHOWN = 20
_BAR = 24


class Display(Protocol):
    """Where progress is shown; `live` is whether one line of it is redrawn in place."""

    live: bool
    marks: Marks

    def line(self, text: str, tone: str = "") -> None:
        """Add a line."""

    def status(self, render: Callable[[], str]) -> None:
        """Show what `render` returns, until the next one; only where that is live."""


class Titles(Struct, frozen=True, kw_only=True):
    """What the first and the last lines name: the version, the image, the run."""

    version: str
    image: str
    run: str


class Progress:
    """An observer of one run that writes to a display.

    A display that is not live gets a line about the tasks every half minute at most, by the
    clock of the events.
    """

    def __init__(
        self,
        display: Display,
        titles: Titles,
        clock: Clock,
        *,
        quiet: bool = False,
        verbose: bool = False,
    ) -> None:
        """Begin before the first event."""
        self._display = display
        self._titles = titles
        self._clock = clock
        self._quiet = quiet
        self._verbose = verbose and not quiet
        self._states: dict[str, TaskState] = {}
        self._started = RunStarted(
            at=0.0, run_id="", backend="", tasks=0, already_succeeded=0, resumed=False
        )
        self._told_at = 0.0
        self._failures = 0
        self.seconds: float | None = None

    def __call__(self, event: Event) -> None:
        """Take one event."""
        match event:
            case RunStarted():
                self._begin(event)
            case Staged(total=total) if total and not self._quiet:
                sent = f", {event.sent} sent now" if event.sent != total else ""
                files = plural(total, "file")
                self._display.line(f"{self._display.marks.good} staged  {files}{sent}", "good")
            case Note(text=text) if not self._quiet:
                self._display.line(f"note: {printable(text)}", "note")
            case TaskChanged():
                self._change(event)
            case Tick():
                self._remind(event)
            case RunEnded():
                self.seconds = event.at - self._started.at
            case _:
                pass

    def _begin(self, event: RunStarted) -> None:
        self._started = event
        self._told_at = event.at
        if self._quiet:
            return
        self._display.line(started_text(event, self._titles, self._display.marks))
        self._show()

    def _change(self, event: TaskChanged) -> None:
        self._states[event.task_id] = event.new
        if event.new is TaskState.FAILED:
            self._fail(event)
        elif self._verbose:
            why = failure_text(event.reason, event.exit_code, event.duration, event.detail)
            again = f"  {why}; trying again" if event.reason and not event.new.final else ""
            self._display.line(f"  {event.task_id}  {event.new}{again}")
        if not self._quiet and self._display.live:
            self._show()
        self._remind(event)

    def _remind(self, event: Event) -> None:
        """Say off a terminal, where no line is redrawn, that the run is still alive."""
        if self._quiet or self._display.live:
            return
        if event.at - self._told_at >= _QUIET_SECONDS:
            self._told_at = event.at
            after = show_seconds(event.at - self._started.at)
            self._display.line(f"  {self._words()}  after {after}")

    def _fail(self, event: TaskChanged) -> None:
        self._failures += 1
        if self._failures <= _FAILURES_SHOWN:
            why = failure_text(event.reason, event.exit_code, event.duration, event.detail)
            self._display.line(f"{self._display.marks.bad} {event.task_id}  {why}", "bad")
        elif self._failures == _FAILURES_SHOWN + 1:
            self._display.line(
                f"{self._display.marks.bad} more tasks failed; "
                f"list them: batchcore status {self._titles.run} --failed",
                "bad",
            )

    def _show(self) -> None:
        """Give the display the current line, whose time goes on between events."""
        done, words = self._done(), self._words()
        total, marks = self._started.tasks, self._display.marks
        # The events may go by another clock than the seconds on the line.
        began = self._clock.monotonic()
        offset = max(self._clock.now() - self._started.at, 0.0)

        def render() -> str:
            seconds = offset + self._clock.monotonic() - began
            return f"  {bar_text(done, total, marks)}  {words}  {show_seconds(seconds)}"

        self._display.status(render)

    def _done(self) -> int:
        ended = sum(state.final for state in self._states.values())
        return min(self._started.already_succeeded + ended, self._started.tasks)

    def _words(self) -> str:
        counts = Counter(state.value for state in self._states.values())
        known = sum(counts.values()) + self._started.already_succeeded
        counts[TaskState.PENDING] += max(self._started.tasks - known, 0)
        return "  ".join(
            part for part in (f"{self._done()}/{self._started.tasks}", counts_text(counts)) if part
        )


def started_text(event: RunStarted, titles: Titles, marks: Marks) -> str:
    """Return the first line: which run, where, how many tasks."""
    image = f"image {titles.image}" if titles.image else ""
    goes_on = "goes on" if event.resumed else ""
    if event.already_succeeded:
        goes_on = f"{event.already_succeeded:,} succeeded before"
    parts = [f"batchcore {titles.version}", event.run_id, event.backend]
    parts += [plural(event.tasks, "task"), image, goes_on]
    return f" {marks.dot} ".join(part for part in parts if part)


def bar_text(done: int, total: int, marks: Marks) -> str:
    """Return how much is done, as a bar."""
    full = _BAR * done // total if total else _BAR
    return marks.full * full + marks.empty * (_BAR - full)
