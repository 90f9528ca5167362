"""How a run goes, told to a person while it goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from batchcore.clock import Clock
from batchcore.events import Event, Note, RunEnded, RunStarted, Staged, TaskChanged, Tick
from batchcore.report.progress import Tally, pace_text, view_lines, words_text
from batchcore.report.run import failure_text
from batchcore.report.text import Marks, plural, printable
from batchcore.states import TaskState
from batchcore.units import show_seconds

_QUIET_SECONDS = 30.0
_FAILURES_SHOWN = 20

Render = Callable[[int], Sequence[str]]


class Display(Protocol):
    """Where progress is shown; `live` is whether a part of it is redrawn in place."""

    live: bool
    marks: Marks

    def line(self, text: str, tone: str = "") -> None:
        """Add a line."""

    def status(self, render: Render) -> None:
        """Show the lines that `render` returns for a width, until the next; only if `live`."""


class Titles(Struct, frozen=True, kw_only=True):
    """What the first and the last lines name: the version, the image, the run."""

    version: str
    image: str
    run: str


class Progress:
    """An observer of one run that writes to a display.

    A live display has a view of the run, with the last failures in it; `close` makes lines of
    what failed. Any other gets a line for each failure at once, and one about the tasks
    every half minute at most, by the clock of the events.
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
        self._viewed = display.live and not quiet
        self._tally = Tally()
        self._began = 0.0
        self._told_at = 0.0
        self._failures = 0
        self._held: list[str] = []
        self.seconds: float | None = None

    def __call__(self, event: Event) -> None:
        """Take one event."""
        self._tally.add(event)
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
                self.seconds = event.at - self._began
            case _:
                pass

    def close(self) -> None:
        """Write down what failed, where that stood in the view alone."""
        for line in self._held:
            self._display.line(line, "bad")
        self._held.clear()

    def _begin(self, event: RunStarted) -> None:
        self._began = self._told_at = event.at
        if self._quiet:
            return
        self._display.line(started_text(event, self._titles, self._display.marks))
        self._show()

    def _change(self, event: TaskChanged) -> None:
        if event.new is TaskState.FAILED:
            self._fail(event)
        elif self._verbose:
            why = failure_text(event.reason, event.exit_code, event.duration, event.detail)
            again = f"  {why}; trying again" if event.reason and not event.new.final else ""
            self._display.line(f"  {event.task_id}  {event.new}{again}")
        self._show()
        self._remind(event)

    def _remind(self, event: Event) -> None:
        """Say off a terminal, where no view is redrawn, that the run is still alive."""
        if self._quiet or self._display.live or event.at - self._told_at < _QUIET_SECONDS:
            return
        self._told_at = event.at
        view, marks = self._tally.view(), self._display.marks
        pace = pace_text(view, event.at, marks)
        after = f"after {show_seconds(event.at - self._began)}"
        self._display.line("  ".join(["", words_text(view), after, pace]).rstrip())

    def _fail(self, event: TaskChanged) -> None:
        self._failures += 1
        if self._failures <= _FAILURES_SHOWN:
            why = failure_text(event.reason, event.exit_code, event.duration, event.detail)
            self._say_failed(f"{self._display.marks.bad} {event.task_id}  {why}")
        elif self._failures == _FAILURES_SHOWN + 1:
            self._say_failed(
                f"{self._display.marks.bad} more tasks failed; "
                f"list them: batchcore status {self._titles.run} --failed"
            )

    def _say_failed(self, text: str) -> None:
        if self._viewed:
            self._held.append(text)
        else:
            self._display.line(text, "bad")

    def _show(self) -> None:
        """Give the display the current view, whose time goes on between events."""
        if not self._viewed:
            return
        view, name, marks = self._tally.view(), self._titles.run, self._display.marks
        # The events may go by another clock than the seconds of the view.
        began, clock = self._clock.monotonic(), self._clock.monotonic
        now = max(self._clock.now(), view.started_at)

        def render(width: int) -> Sequence[str]:
            return list(view_lines(view, now + clock() - began, name, width, marks))

        self._display.status(render)


def started_text(event: RunStarted, titles: Titles, marks: Marks) -> str:
    """Return the first line: which run, where, how many tasks."""
    image = f"image {titles.image}" if titles.image else ""
    goes_on = "goes on" if event.resumed else ""
    if event.already_succeeded:
        goes_on = f"{event.already_succeeded:,} succeeded before"
    parts = [f"batchcore {titles.version}", event.run_id, event.backend]
    parts += [plural(event.tasks, "task"), image, goes_on]
    return f" {marks.dot} ".join(part for part in parts if part)
