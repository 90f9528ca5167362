"""The timeline: each attempt on a line of its own, or, of a large run, in steps of time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from batchcore.history import History
from batchcore.report.html import words
from batchcore.report.html.buckets import ticks
from batchcore.report.html.chart import Place, Window, row
from batchcore.report.html.markup import Html, element, joined
from batchcore.report.html.spans import PHASES, Bar, bars, extent, natural
from batchcore.report.html.steps import STEPS, by_attempt, steps
from batchcore.report.text import plural

MOST_LINES = 80
_LAST_MARK = 0.96  # what stands behind it would be cut off


def timeline(history: History) -> Html:
    """Return the section."""
    shown = bars(history)
    if not shown:
        return element(
            "section", element("h2", "Timeline"), element("p", "Nothing has started yet.")
        )
    window = Window(*extent(history, shown))
    large = len({bar.task.id for bar in shown}) > MOST_LINES
    places = by_attempt(shown) if large else _by_task(shown)
    lines = steps(shown, places, window) if large else _lines(places, window)
    return element(
        "section",
        element("h2", "Timeline"),
        _legend(large=large),
        element(
            "div",
            _axis(window),
            _staging(history, window),
            *lines,
            class_="chart",
            role="group",
            aria_label="Timeline; the tables below have the same times",
        ),
        _table(places, window),
        element("p", _about(history, large=large), class_="note"),
        aria_label="Timeline",
    )


def _by_task(shown: Sequence[Bar]) -> list[Place]:
    """Put all attempts of a task where the last of them was that has a node."""
    nodes = {bar.task.id: bar.node for bar in shown if bar.attempt.node}
    found: dict[str, list[Bar]] = {}
    for bar in shown:
        found.setdefault(nodes.get(bar.task.id, bar.node), []).append(bar)
    return [Place(name, tuple(found[name])) for name in sorted(found, key=natural)]


def _lines(places: Iterable[Place], window: Window) -> Iterator[Html]:
    """Yield a line for each task, below the name of its place."""
    for place in places:
        tasks: dict[str, list[Bar]] = {}
        for bar in sorted(place.bars, key=lambda bar: bar.spans[0].begin):
            tasks.setdefault(bar.task.id, []).append(bar)
        count = plural(len(tasks), "task")
        yield element("h3", place.name, element("small", f" {count}"), class_="place")
        for task_id, of_task in sorted(tasks.items(), key=lambda item: _first_start(item[1])):
            rects = [rect for bar in of_task for rect in _rects(bar, window)]
            yield row(task_id, rects, _told(of_task))


def _first_start(of_task: Sequence[Bar]) -> tuple[bool, float]:
    bar = of_task[0]
    return bar.attempt.started_at is None, bar.attempt.started_at or bar.spans[0].begin


def _rects(bar: Bar, window: Window) -> Iterator[Html]:
    for span in bar.spans:
        left, right = window.x(span.begin), window.x(span.end)
        thin = span.phase == "waiting"
        if thin and right - left < 1:
            continue
        how = f" ({words.why(bar.attempt.state, bar.attempt.reason, bar.attempt.exit_code)})"
        about = f"{span.phase} {words.duration(span.end - span.begin)}" + how
        yield element(
            "rect",
            element("title", f"{bar.task.id}, attempt {bar.attempt.attempt}: {about}"),
            class_=f"{span.phase} bad" if span.bad else span.phase,
            x=left,
            y=4.0 if thin else 0.0,
            width=max(right - left, 1.5),
            height=2.0 if thin else 10.0,
        )


def _told(of_task: Sequence[Bar]) -> str:
    parts = [
        f"attempt {bar.attempt.attempt} {bar.attempt.state.value}"
        + "".join(f", {s.phase} {words.duration(s.end - s.begin)}" for s in bar.spans)
        for bar in of_task
    ]
    return f"{of_task[0].task.id}: {'; '.join(parts)}"


def _staging(history: History, window: Window) -> Html | None:
    if history.staging is None:
        return None
    begin, end = history.staging
    took = words.duration(end - begin)
    rect = element(
        "rect",
        element("title", f"staging {took}"),
        class_="staging",
        x=window.x(begin),
        y=0.0,
        width=max(window.x(end) - window.x(begin), 1.5),
        height=10.0,
    )
    return row("staging", [rect], f"Resources were brought to the store in {took}")


def _axis(window: Window) -> Html:
    marks = [
        element(
            "text",
            words.duration(at),
            x=f"{100 * at / window.seconds:.2f}%",
            y=12,
            text_anchor="middle" if at else "start",
        )
        for at in ticks(window.seconds)
        if at <= _LAST_MARK * window.seconds
    ]
    drawing = element("svg", *marks)
    return element("div", element("span"), drawing, class_="line axis", aria_hidden="true")


def _legend(*, large: bool) -> Html:
    names = ["staging", *PHASES, "bad"]
    said = {"bad": "an attempt that failed or was canceled", "staging": "staging (all tasks)"}
    items = [
        element("li", element("span", class_=f"key {name}"), said.get(name, name)) for name in names
    ]
    if large:
        items.append(element("li", "a stronger colour is a busier place"))
    return element("ul", *items, class_="legend")


def _about(history: History, *, large: bool) -> str:
    parts = [f"0 is {words.moment(history.created_at)}."]
    if large:
        parts.append(f"Each step is one of {STEPS} equal parts of the time.")
    parts.append(
        "Waiting is from when the backend was given an attempt until it started, and is known of "
        "the last attempt of a task. When an attempt was prepared and collected is known of those "
        "that succeeded."
    )
    return " ".join(parts)


def _table(places: Sequence[Place], window: Window) -> Html:
    rows = [
        element(
            "tr",
            element("th", place.name, scope="row"),
            element("td", words.value(len(place.bars)), class_="n"),
            element("td", words.duration(place.busy()), class_="n"),
            element("td", words.share(place.busy(), window.seconds), class_="n"),
        )
        for place in places
    ]
    heads = ("Node or slot", "Attempts", "Running", "Of the whole time")
    return element(
        "details",
        element("summary", "The same by node or slot, as a table"),
        element(
            "div",
            element(
                "table",
                element("thead", element("tr", *(element("th", h, scope="col") for h in heads))),
                element("tbody", joined(rows)),
            ),
            class_="wide",
        ),
    )
