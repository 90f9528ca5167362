"""How long attempts ran and waited: a chart, some numbers, and the numbers behind the chart."""

from __future__ import annotations

from collections.abc import Sequence

from batchcore.history import History
from batchcore.report.html import words
from batchcore.report.html.buckets import Bucket, histogram, quantile
from batchcore.report.html.markup import Html, element

_HEIGHT = 100.0
_QUANTILES = (("shortest", 0.0), ("median", 0.5), ("95 %", 0.95), ("longest", 1.0))


def distributions(history: History) -> Html | None:
    """Return the section, None where no attempt has ended."""
    ended = [a for task in history.tasks for a in task.attempts if a.duration is not None]
    if not ended:
        return None
    running = [a.duration for a in ended if a.duration is not None]
    waiting = [a.waiting for a in ended if a.waiting is not None]
    return element(
        "section",
        element("h2", "Durations"),
        element(
            "div",
            _figure("How long attempts ran", running, "running"),
            _figure("How long they waited for that", waiting, "waiting"),
            class_="pair",
        ),
        aria_label="Durations",
    )


def _figure(title: str, values: Sequence[float], name: str) -> Html | None:
    if not values:
        return None
    buckets, ordered = histogram(values), sorted(values)
    said = [(word, words.duration(quantile(ordered, part))) for word, part in _QUANTILES]
    return element(
        "figure",
        element("figcaption", title),
        _chart(buckets, name, f"{title}: " + ", ".join(f"{word} {text}" for word, text in said)),
        element(
            "div",
            *(element("span", words.duration(at)) for at in (buckets[0].low, buckets[-1].high)),
            class_="ends",
            aria_hidden="true",
        ),
        element(
            "dl",
            *(element("div", element("dt", word), element("dd", text)) for word, text in said),
            class_="facts",
        ),
        _table(buckets),
    )


def _chart(buckets: Sequence[Bucket], name: str, told: str) -> Html:
    width, top = 1000 / len(buckets), max(bucket.count for bucket in buckets)
    rects = [
        element(
            "rect",
            element("title", f"{_range(bucket)}: {bucket.count:,}"),
            class_=name,
            x=n * width + 2,
            y=_HEIGHT * (1 - _tall(bucket.count, top)),
            width=width - 4,
            height=_HEIGHT * _tall(bucket.count, top),
        )
        for n, bucket in enumerate(buckets)
    ]
    return element(
        "svg",
        *rects,
        viewBox=f"0 0 1000 {_HEIGHT:.0f}",
        preserveAspectRatio="none",
        role="img",
        aria_label=told,
        class_="columns",
    )


def _tall(count: int, top: int) -> float:
    """Return how high a column is; one of a few values among many can be seen too."""
    return max(count / top, 0.02) if count else 0.0


def _range(bucket: Bucket) -> str:
    return f"{words.duration(bucket.low)} to {words.duration(bucket.high)}"


def _table(buckets: Sequence[Bucket]) -> Html:
    rows = [
        element(
            "tr",
            element("td", words.duration(bucket.low), class_="n"),
            element("td", words.duration(bucket.high), class_="n"),
            element("td", words.value(bucket.count), class_="n"),
        )
        for bucket in buckets
        if bucket.count
    ]
    heads = ("From", "To", "Attempts")
    return element(
        "details",
        element("summary", "As a table"),
        element(
            "table",
            element("thead", element("tr", *(element("th", h, scope="col") for h in heads))),
            element("tbody", *rows),
        ),
    )
