"""The attempts of a run as a table of comma-separated values."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from batchcore.history import AttemptHistory, History, TaskHistory
from batchcore.report.text import printable

HEADS = (
    *("task", "attempt", "state", "reason", "exit_code", "node", "native"),
    *("submitted_at", "preparing_at", "started_at", "ended_at", "collected_at"),
    *("waiting", "running", "files", "bytes", "cpus", "memory", "image", "digest", "detail"),
)
# With one of these a spreadsheet would begin a formula.
_FORMULA = ("=", "+", "-", "@")


def trace_text(history: History) -> str:
    """Return a line for each attempt, and one with attempt 0 for a task that never started.

    Times are seconds since the epoch, durations seconds, sizes bytes; what is not known is empty.
    Control characters are escaped, and before a text that a spreadsheet would take for a formula
    stands an apostrophe.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(HEADS)
    writer.writerows(_rows(history))
    return stream.getvalue()


def _rows(history: History) -> Iterator[list[object]]:
    for task in history.tasks:
        never = AttemptHistory(attempt=0, state=task.state, reason=task.reason, detail=task.detail)
        for one in task.attempts or (never,):
            yield [_safe(cell) for cell in _row(task, one, history)]


def _row(task: TaskHistory, one: AttemptHistory, history: History) -> list[object]:
    last = one is task.last
    return [
        *(task.id, one.attempt, one.state.value, one.reason, one.exit_code, one.node, one.native),
        *(one.submitted_at, one.preparing_at, one.started_at, one.ended_at, one.collected_at),
        *(one.waiting, one.duration),
        *((task.files, task.size) if last else (None, None)),
        *(task.cpus, task.memory, task.image, history.images.get(task.image), one.detail),
    ]


def _safe(cell: object) -> object:
    if isinstance(cell, float):
        return f"{cell:.3f}"
    if not isinstance(cell, str):
        return cell
    text = printable(cell)
    return f"'{text}" if text.startswith(_FORMULA) else text
