"""Which part of its life an attempt spent how, and on which place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from batchcore.history import AttemptHistory, History, TaskHistory
from batchcore.states import TaskState

Phase = Literal["waiting", "preparing", "running", "collecting"]
PHASES: tuple[Phase, ...] = ("waiting", "preparing", "running", "collecting")
NOWHERE = "(no node told)"


class Span(Struct, frozen=True, gc=False):
    """A phase of an attempt, in seconds since the epoch; `bad` where the attempt failed."""

    phase: Phase
    begin: float
    end: float
    bad: bool


class Bar(Struct, frozen=True, gc=False):
    """An attempt as a chart shows it."""

    task: TaskHistory
    attempt: AttemptHistory
    node: str
    spans: tuple[Span, ...]


def bars(history: History) -> list[Bar]:
    """Return the attempts of which any time is known, in the order of the job."""
    found = (
        Bar(task, attempt, attempt.node or NOWHERE, tuple(_spans(attempt, history.read_at)))
        for task in history.tasks
        for attempt in task.attempts
    )
    return [bar for bar in found if bar.spans]


def _spans(attempt: AttemptHistory, now: float) -> Iterator[Span]:
    """Yield the phases one after the other, each at least as late as the one before."""
    over = attempt.state.final
    bad = attempt.state in {TaskState.FAILED, TaskState.CANCELED}
    started, ended = attempt.started_at, attempt.ended_at
    last = ended if ended is not None else now
    if attempt.submitted_at is not None:
        until = started if started is not None else last
        ready = attempt.preparing_at if started is not None else None
        ready = until if ready is None else min(max(ready, attempt.submitted_at), until)
        yield from _span("waiting", attempt.submitted_at, ready, bad=bad and started is None)
        yield from _span("preparing", ready, until, bad=False)
    if started is not None:
        yield from _span("running", started, last, bad=bad)
    if over and ended is not None and attempt.collected_at is not None:
        yield from _span("collecting", ended, attempt.collected_at, bad=False)


def _span(phase: Phase, begin: float, end: float, *, bad: bool) -> Iterator[Span]:
    if end >= begin:
        yield Span(phase, begin, end, bad)


def extent(history: History, shown: list[Bar]) -> tuple[float, float]:
    """Return when the run began and when the last thing happened that is known; never equal."""
    ends = [span.end for bar in shown for span in bar.spans]
    begins = [span.begin for bar in shown for span in bar.spans]
    if history.staging is not None:
        begins.append(history.staging[0])
        ends.append(history.staging[1])
    if history.state == "running" and history.driven:
        ends.append(history.read_at)
    begin = min([history.created_at, *begins])
    return begin, max([*ends, begin + 0.001])


def natural(text: str) -> list[tuple[int, str]]:
    """Return what sorts ``local-10`` behind ``local-9``."""
    parts = re.split(r"([0-9]{1,18})", text)
    return [(int(part), "") if n % 2 else (-1, part) for n, part in enumerate(parts)]
