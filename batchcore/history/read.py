"""Reading the history of a run; nothing is asked of its backend, and nothing is written."""

from __future__ import annotations

import os
import shlex
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from batchcore.driver.drive import read_versions
from batchcore.explain import Group, LogTail, explain_run
from batchcore.explain.grouping import log_tail
from batchcore.history.model import AttemptHistory, History, TaskHistory
from batchcore.history.redact import Redactor
from batchcore.plan import PlannedTask
from batchcore.record import Record, TaskRow, manifest
from batchcore.record.database import AttemptRow
from batchcore.run import Run
from batchcore.states import TaskState

_LOGS_OF_A_GROUP = 10
_LOGS = 60


def read_history(run: Run, *, name: str = "", now: float | None = None) -> History:
    """Return the history of a run, one that another process drives now too.

    `name` is what commands call it, default its directory; `now` is in seconds since the epoch.
    Raises `BackendError` for a damaged record.
    """
    name = name or shlex.quote(str(run.directory))
    now = time.time() if now is None else now
    told = explain_run(run, name=name, now=now, ask=False)
    redact = Redactor(os.environ, run.plan.tasks)
    record = Record.read(run.directory, run.heading)
    try:
        with record.errors():
            rows = {row.id: row for row in record.rows()}
            tasks = tuple(_tasks(record, rows, run.plan.tasks, redact))
            logs = {task: redact.log(log) for task, log in _logs(record, rows, told.groups)}
            staging, versions = record.staging, read_versions(record)
    finally:
        record.close()
    return History(
        run=run.id,
        name=name,
        job=run.plan.name,
        backend=run.heading.backend,
        state=told.state,
        directory=run.directory,
        created_at=run.heading.created_at,
        read_at=now,
        driven=told.driven,
        counts={state.value: n for state, n in sorted(Counter(t.state for t in tasks).items())},
        staging=staging,
        version=run.heading.version,
        versions=versions,
        images=dict(run.heading.fingerprint),
        notes=tuple(map(redact.text, told.notes)),
        groups=tuple(map(redact.group, told.groups)),
        logs=logs,
        tasks=tasks,
    )


def _tasks(
    record: Record,
    rows: Mapping[str, TaskRow],
    planned: Iterable[PlannedTask],
    redact: Redactor,
) -> Iterator[TaskHistory]:
    collected, published = record.collected(), manifest.read(record.directory)
    ended: dict[str, list[AttemptRow]] = {}
    for attempt in record.all_attempts():
        ended.setdefault(attempt.task, []).append(attempt)
    for task in planned:
        row = rows[task.id]
        files, size = collected.get(task.id, (0, 0))
        memory = task.requirements.memory
        attempts = _attempts(row, ended.get(task.id, ()), published.get(task.id), redact)
        yield TaskHistory(
            id=task.id,
            state=row.state,
            reason=row.reason,
            exit_code=row.exit_code,
            detail=redact.text(row.detail),
            image=redact.text(task.image or ""),
            cpus=task.requirements.cpus,
            memory=memory if isinstance(memory, int) else None,
            retries=row.retries,
            interruptions=row.interruptions,
            files=files,
            size=size,
            attempts=tuple(attempts),
        )


def _attempts(
    row: TaskRow,
    ended: Sequence[AttemptRow],
    published: manifest.Published | None,
    redact: Redactor,
) -> Iterator[AttemptHistory]:
    """Yield the ended attempts of a task and the one that it is in."""
    if published is None or published.attempt != row.attempt:
        published = None
    for end in ended:
        last = end.attempt == row.attempt and row.state.final
        yield AttemptHistory(
            attempt=end.attempt,
            state=end.state,
            reason=end.reason,
            exit_code=end.exit_code,
            detail=redact.text(end.detail),
            native=redact.text(end.native),
            node=redact.text(end.node),
            submitted_at=row.submitted_at if last else None,
            preparing_at=published.preparing_at if last and published else None,
            started_at=end.started_at,
            ended_at=end.ended_at,
            collected_at=published.collected_at if last and published else None,
        )
    begun = not row.state.final and row.state is not TaskState.PENDING
    if begun and all(end.attempt != row.attempt for end in ended):
        yield AttemptHistory(
            attempt=row.attempt,
            state=row.state,
            detail=redact.text(row.detail),
            native=redact.text(row.native),
            node=redact.text(row.node),
            submitted_at=row.submitted_at,
            started_at=row.started_at,
        )


def _logs(
    record: Record, rows: Mapping[str, TaskRow], groups: Iterable[Group]
) -> Iterator[tuple[str, LogTail]]:
    """Yield the ends of the logs of some failed tasks, a few of each group."""
    failed = (group for group in groups if group.state is TaskState.FAILED)
    some = [task for group in failed for task in group.tasks[:_LOGS_OF_A_GROUP]]
    for task in some[:_LOGS]:
        log = log_tail(record, rows[task])
        if log is not None:
            yield task, log
