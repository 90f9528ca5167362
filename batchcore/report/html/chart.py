"""What both kinds of timeline are drawn with: a window of time, places, and rows."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from batchcore.report.html.markup import Html, element
from batchcore.report.html.spans import Bar

WIDTH = 1000.0


class Window(Struct, frozen=True):
    """The time that all lines of the chart show."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.begin

    def x(self, at: float) -> float:
        """Return where a time is in a drawing."""
        return WIDTH * min(max((at - self.begin) / self.seconds, 0), 1)


class Place(Struct, frozen=True):
    """One or several neighbouring nodes, or slots of this machine, and what ran there."""

    name: str
    bars: tuple[Bar, ...]

    def busy(self) -> float:
        """Return the sum of the seconds in which attempts ran."""
        return sum(s.end - s.begin for bar in self.bars for s in bar.spans if s.phase == "running")


def row(label: str, rects: Sequence[Html], told: str, *, height: int = 10) -> Html:
    """Return a line of the chart: its label, its drawing, and what `told` says of that in words."""
    drawing = element(
        "svg",
        *rects,
        viewBox=f"0 0 {WIDTH:.0f} {height}",
        preserveAspectRatio="none",
        role="img",
        aria_label=told,
    )
    return element("div", element("span", label, title=label), drawing, class_=f"line h{height}")
