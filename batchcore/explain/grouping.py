"""Tasks of a run that are where they are for the same cause, and what there is to say of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from batchcore.driver.drive import read_manner
from batchcore.explain.advice import advice_on, failure_words
from batchcore.explain.model import AttemptEnd, Group, LogTail
from batchcore.explain.waiting import (
    Scene,
    budget_words,
    is_submitted,
    waiting_facts,
    waiting_words,
)
from batchcore.plan import PlannedTask
from batchcore.record import Record, TaskRow
from batchcore.states import Budget, FailureReason, TaskState, budget_of

_LINES = 10
_TAIL_BYTES = 16_384
# The order of the groups.
_FAILED, _BLOCKED, _WAITING, _CANCELED = range(4)


def scene_of(
    record: Record, tasks: Iterable[PlannedTask], backend: str, *, driven: bool, now: float
) -> Scene:
    """Return what is looked at when single tasks are explained."""
    rows, manner = {row.id: row for row in record.rows()}, read_manner(record)
    last: dict[str, tuple[FailureReason | None, float | None]] = {}
    for row in rows.values():
        if row.state is TaskState.QUEUED and not is_submitted(row):
            ended = record.attempts(row.id)[-1:]
            last.update((row.id, (end["reason"], end["ended_at"])) for end in ended)
    return Scene(
        tasks={task.id: task for task in tasks},
        rows=rows,
        last=last,
        backend=backend,
        driven=driven,
        now=now,
        at_work=sum(map(is_submitted, rows.values())),
        max_parallel=manner.max_parallel if manner else None,
    )


class Grouper:
    """Puts tasks of one run into groups; `run` is what commands call it."""

    def __init__(self, record: Record, scene: Scene, run: str) -> None:
        """Look at nothing yet."""
        self._record = record
        self._scene = scene
        self._run = run

    def groups(self, rows: Iterable[TaskRow]) -> list[Group]:
        """Return the groups of these tasks, failures first; what has succeeded is left out."""
        found: dict[tuple[int, str, str], list[TaskRow]] = {}
        for row in rows:
            if row.state is not TaskState.SUCCEEDED:
                found.setdefault(self._key(row), []).append(row)
        return [self._group(key[1], found[key]) for key in sorted(found, key=lambda key: key[0])]

    def _key(self, row: TaskRow) -> tuple[int, str, str]:
        """Return the place of a group, its cause, and the news by which waiting tasks differ."""
        if row.state is TaskState.FAILED:
            place = _BLOCKED if row.reason is FailureReason.DEPENDENCY else _FAILED
            return place, failure_words(row, self._scene.tasks[row.id]), ""
        if row.state is TaskState.CANCELED:
            return _CANCELED, "it was canceled", row.detail
        return _WAITING, waiting_words(row, self._scene), row.detail

    def _group(self, cause: str, rows: Sequence[TaskRow]) -> Group:
        first = rows[0]
        task, ended = self._scene.tasks[first.id], first.state.final
        root = _root_of(first, self._scene)
        failed = first.state is TaskState.FAILED
        return Group(
            cause=cause,
            state=first.state,
            reason=first.reason,
            exit_code=first.exit_code,
            tasks=tuple(row.id for row in rows),
            facts=tuple(
                self._end_facts(first, root) if ended else waiting_facts(first, self._scene)
            ),
            attempts=tuple(map(_attempt_end, self._record.attempts(first.id))),
            log=log_tail(self._record, first) if failed else None,
            advice=advice_on(rows, task, self._run, root, self._alike(first)) if ended else (),
        )

    def _alike(self, row: TaskRow) -> int:
        end = (row.state, row.reason)
        return sum((other.state, other.reason) == end for other in self._scene.rows.values())

    def _end_facts(self, row: TaskRow, root: str) -> Iterator[str]:
        if root:
            yield f"it waits for {root!r}, which {self._scene.rows[root].state}"
        elif row.detail:
            yield row.detail
        if row.state is TaskState.FAILED and row.attempt:
            yield _spent_words(row, self._scene.tasks[row.id])


def _root_of(row: TaskRow, scene: Scene) -> str:
    """Return the task for whose sake one never started; empty where it has a cause of its own."""
    bad = {TaskState.FAILED, TaskState.CANCELED}
    root, rows = row.id, scene.rows
    while rows[root].reason is FailureReason.DEPENDENCY:
        links = [link.task for link in scene.tasks[root].depends_on if link.on == "success"]
        cause = next((task_id for task_id in links if rows[task_id].state in bad), "")
        if not cause:
            break
        root = cause
    return "" if root == row.id else root


def _spent_words(row: TaskRow, task: PlannedTask) -> str:
    spent = {
        Budget.RETRIES: row.retries >= task.retries,
        Budget.INTERRUPTIONS: row.interruptions >= task.interruptions,
    }
    left = row.reason is not None and not spent.get(budget_of(row.reason), True)
    words = budget_words(row, task)
    return f"{words}; another attempt could not have helped" if left else words


def _attempt_end(row: Mapping[str, Any]) -> AttemptEnd:
    return AttemptEnd(**{name: row[name] for name in AttemptEnd.__struct_fields__})


def log_tail(record: Record, row: TaskRow) -> LogTail | None:
    """Return the end of what the last attempt wrote: to stderr, else to stdout."""
    for stream in ("stderr", "stdout"):
        lines = _last_lines(record.log_path(row.id, row.attempt, stream))
        if lines:
            return LogTail(attempt=row.attempt, stream=stream, lines=lines)
    return None


def _last_lines(log: Path) -> tuple[str, ...]:
    try:
        with log.open("rb") as stream:
            start = max(os.fstat(stream.fileno()).st_size - _TAIL_BYTES, 0)
            stream.seek(start)
            lines = stream.read(_TAIL_BYTES).decode(errors="backslashreplace").splitlines()
    except OSError:
        return ()
    whole = lines[1:] if start and len(lines) > 1 else lines
    return tuple(line for line in whole if line.strip())[-_LINES:]
