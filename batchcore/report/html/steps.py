"""The timeline of a large run: how many were at work and how many waited, in steps of time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from batchcore.report.html import words
from batchcore.report.html.buckets import occupancy
from batchcore.report.html.chart import WIDTH, Place, Window, row
from batchcore.report.html.markup import Html, element
from batchcore.report.html.spans import PHASES, Bar, Phase, natural
from batchcore.report.text import plural

MOST_PLACES = 32
STEPS = 160
_AT_WORK: tuple[Phase, ...] = ("preparing", "running", "collecting")
_SHADES = 5


def by_attempt(shown: Sequence[Bar]) -> list[Place]:
    """Put attempts where they were; neighbouring nodes share a place where there are many."""
    found: dict[str, list[Bar]] = {}
    for bar in shown:
        if bar.attempt.node:
            found.setdefault(bar.node, []).append(bar)
    names = sorted(found, key=natural)
    size = -(-len(names) // MOST_PLACES) or 1
    groups = (names[n : n + size] for n in range(0, len(names), size))
    return [
        Place(
            group[0] + (f" +{len(group) - 1}" if len(group) > 1 else ""),
            tuple(bar for name in group for bar in found[name]),
        )
        for group in groups
    ]


def steps(shown: Sequence[Bar], places: Sequence[Place], window: Window) -> Iterator[Html]:
    """Yield how many were at work and how many waited, and how busy each place was."""
    curves = {phase: _curve(shown, phase, window) for phase in PHASES}
    working = [sum(parts) for parts in zip(*(curves[p] for p in _AT_WORK), strict=True)]
    yield element(
        "h3", "At work", element("small", f" at most {max(working):,.0f}"), class_="place"
    )
    yield row("", _columns([curves[p] for p in _AT_WORK], _AT_WORK), "Tasks at work", height=80)
    waiting = curves["waiting"]
    yield element(
        "h3", "Waiting", element("small", f" at most {max(waiting):,.0f}"), class_="place"
    )
    yield row("", _columns([waiting], ["waiting"]), "Tasks that wait", height=40)
    yield element("h3", "Places", element("small", f" {len(places)} lines"), class_="place")
    for place in places:
        curve = [sum(parts) for parts in zip(*_of_place(place, window), strict=True)]
        busy = words.duration(place.busy())
        told = f"{place.name}: {plural(len(place.bars), 'attempt')}, running for {busy} in all"
        rects = [*_strip(curve), *_marks(place, window)]
        yield row(place.name, rects, told)


def _of_place(place: Place, window: Window) -> list[list[float]]:
    return [_curve(place.bars, phase, window) for phase in _AT_WORK]


def _curve(shown: Sequence[Bar], phase: Phase, window: Window) -> list[float]:
    spans = ((s.begin, s.end) for bar in shown for s in bar.spans if s.phase == phase)
    return occupancy(spans, window.begin, window.end, STEPS)


def _columns(curves: Sequence[Sequence[float]], names: Sequence[str]) -> list[Html]:
    """Return stacked columns, one path for each curve; the highest fills the drawing."""
    height = 80.0 if len(curves) > 1 else 40.0
    top = max(map(sum, zip(*curves, strict=True))) or 1.0
    step, paths, below = WIDTH / STEPS, [], [0.0] * STEPS
    for name, curve in zip(names, curves, strict=True):
        above = [low + part for low, part in zip(below, curve, strict=True)]
        parts = [
            f"M{n * step:g} {height * (1 - low / top):.1f}h{step:g}V{height * (1 - high / top):.1f}"
            f"h-{step:g}z"
            for n, (low, high) in enumerate(zip(below, above, strict=True))
            if high > low
        ]
        paths.append(element("path", class_=name, d="".join(parts)))
        below = above
    return paths


def _strip(curve: Sequence[float]) -> Iterator[Html]:
    """Yield how busy a place was, in shades, neighbours of one shade together."""
    top, step, begin = max(curve) or 1.0, WIDTH / STEPS, 0
    shades = [math.ceil(_SHADES * value / top) for value in curve]
    for n in range(1, STEPS + 1):
        if n == STEPS or shades[n] != shades[begin]:
            if shades[begin]:
                yield element(
                    "rect",
                    class_=f"running shade{shades[begin]}",
                    x=begin * step,
                    y=0.0,
                    width=(n - begin) * step,
                    height=10.0,
                )
            begin = n


def _marks(place: Place, window: Window) -> Iterator[Html]:
    """Yield a mark where attempts failed."""
    ends = (span.end for bar in place.bars for span in bar.spans if span.bad)
    for n in sorted({min(int(window.x(end) * STEPS / WIDTH), STEPS - 1) for end in ends}):
        step = WIDTH / STEPS
        yield element("rect", class_="bad", x=n * step, y=6.0, width=step, height=4.0)
