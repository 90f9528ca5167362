"""The displays of progress: plain lines, and on a terminal a view that is redrawn."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, cast

from batchcore.cli.progress import Display, Render
from batchcore.cli.screen import Screen
from batchcore.report.text import Marks, cut, printable

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

_STYLES = {"good": "green", "bad": "red", "note": "yellow"}


class PlainDisplay:
    """Lines, one after the other."""

    live = False

    def __init__(self, screen: Screen) -> None:
        """Write to this stream."""
        self._screen = screen
        self.marks: Marks = screen.marks

    def line(self, text: str, tone: str = "") -> None:
        """Add a line."""
        self._screen.line(text, tone)

    def status(self, render: Render) -> None:
        """Show nothing: nothing is redrawn."""


class LiveDisplay:
    """Lines, and below them a view that changes; rich draws it."""

    live = True

    def __init__(self, screen: Screen) -> None:
        """Begin with an empty view."""
        self.marks = screen.marks
        self._screen = screen
        self._render: Render | None = None
        self._live: Live | None = None

    def use(self, live: Live) -> None:
        """Draw with this."""
        self._live = live

    def line(self, text: str, tone: str = "") -> None:
        """Add a line above the view."""
        if self._live is not None:
            self._live.console.print(_styled(text, tone), soft_wrap=True)

    def status(self, render: Render) -> None:
        """Change the view."""
        self._render = render

    def text(self) -> Text:
        """Return the view as it is now, for rich to draw."""
        from rich.text import Text

        if self._live is None or self._render is None:
            return Text()
        width = self._live.console.width
        # What the encoding lacks is spelled out before the lines are cut, not after it.
        lines = (cut(self._screen.spelled(line), width) for line in self._render(width))
        whole = Text("\n", no_wrap=True, overflow="crop")
        return whole.join(_toned(line, self.marks) for line in lines)


class _File(io.TextIOBase):
    """A screen as rich wants it: a terminal that has gone must not stop a run."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._screen.encoding

    def write(self, text: str) -> int:
        self._screen.write(text)
        return len(text)


@contextmanager
def display(screen: Screen, *, quiet: bool) -> Iterator[Display]:
    """Choose a display for a stream and take it down at the end."""
    if quiet or not screen.interactive or screen.stream is None:
        yield PlainDisplay(screen)
        return
    from rich.console import Console
    from rich.live import Live

    shown = LiveDisplay(screen)
    console = Console(
        file=cast("IO[str]", _File(screen)),
        force_terminal=True,
        no_color=not screen.colour,
        highlight=False,
        markup=False,
        emoji=False,
    )
    with Live(
        console=console,
        get_renderable=shown.text,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as live:
        shown.use(live)
        yield shown


def _styled(text: str, tone: str) -> Text:
    from rich.text import Text

    word, space, rest = printable(text).partition(" ")
    return Text.assemble((word, _STYLES.get(tone, "")), space, rest)


def _toned(line: str, marks: Marks) -> Text:
    return _styled(line, "bad" if line.startswith(f"{marks.bad} ") else "")
