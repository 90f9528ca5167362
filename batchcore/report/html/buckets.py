"""Values and spans of time, put into buckets of one width."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate

from msgspec import Struct

_SKEWED = 50


class Bucket(Struct, frozen=True):
    """How many values lie from `low` to `high`."""

    low: float
    high: float
    count: int


def histogram(values: Sequence[float], most: int = 24) -> list[Bucket]:
    """Return values in at most so many buckets, none of them where there is no value.

    The buckets grow by a factor where a few values are far above the others.
    """
    if not values:
        return []
    low, high = min(values), max(values)
    middle = quantile(sorted(values), 0.5)
    count = max(1, min(most, 2 * math.isqrt(len(values)) + 1))
    if high <= low:
        return [Bucket(low, high, len(values))]
    if low > 0 and high > _SKEWED * middle:
        factor = (high / low) ** (1 / count)
        edges = [low * factor**n for n in range(count)] + [high]
    else:
        edges = [low + (high - low) * n / count for n in range(count)] + [high]
    return _counted(values, edges)


def _counted(values: Sequence[float], edges: Sequence[float]) -> list[Bucket]:
    ordered, counts, at = sorted(values), [0] * (len(edges) - 1), 0
    for value in ordered:
        while at < len(counts) - 1 and value >= edges[at + 1]:
            at += 1
        counts[at] += 1
    return [Bucket(edges[n], edges[n + 1], count) for n, count in enumerate(counts)]


def quantile(ordered: Sequence[float], part: float) -> float:
    """Return the value that so great a part of the ordered values does not exceed."""
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def occupancy(
    spans: Iterable[tuple[float, float]], begin: float, end: float, count: int
) -> list[float]:
    """Return for each of `count` equal parts of a time how many spans lie in it on average."""
    width = (end - begin) / count
    parts, steps = [0.0] * count, [0] * (count + 1)
    for from_, to in spans:
        first, last = (max(0.0, min(count, (at - begin) / width)) for at in (from_, to))
        if last <= first:
            continue
        low, high = int(first), min(int(last), count - 1)
        if low == high:
            parts[low] += last - first
            continue
        parts[low] += low + 1 - first
        parts[high] += last - high
        steps[low + 1] += 1
        steps[high] -= 1
    return [part + whole for part, whole in zip(parts, accumulate(steps), strict=False)]


def ticks(seconds: float, most: int = 6) -> list[float]:
    """Return round times from 0 up to a length, a few of them."""
    if seconds <= 0:
        return [0.0]
    step = next((s for s in _steps() if seconds / s <= most), seconds)
    return [n * step for n in range(int(seconds / step) + 1)]


def _steps() -> Iterable[float]:
    for power in (0.001, 0.01, 0.1, 1.0):
        yield from (power, 2 * power, 5 * power)
    yield from (10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200)
    yield from (86400 * 2**n for n in range(16))
