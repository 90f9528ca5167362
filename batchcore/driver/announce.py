"""What the driver tells its observers, put into events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from batchcore.clock import Clock
from batchcore.events import Note, Observers, RunEnded, RunStarted, Staged, TaskChanged, Tick
from batchcore.record import Header, TaskRow
from batchcore.states import TaskState


class Announcer:
    """Turns what happens to a run's rows into events."""

    def __init__(self, observers: Observers, clock: Clock, header: Header, directory: Path) -> None:
        """Tell these observers of this run."""
        self._observers = observers
        self._clock = clock
        self._header = header
        self._directory = directory

    def started(self, rows: Mapping[str, TaskRow]) -> None:
        """Tell that the driver begins with these rows."""
        self._observers.tell(
            RunStarted(
                at=self._clock.now(),
                run_id=self._header.run_id,
                backend=self._header.backend,
                tasks=len(rows),
                already_succeeded=sum(r.state is TaskState.SUCCEEDED for r in rows.values()),
                resumed=any(row.attempt for row in rows.values()),
                directory=str(self._directory),
                counts=dict(Counter(row.state for row in rows.values())),
            )
        )

    def staged(self, sent: int, total: int) -> None:
        """Tell that the resources are in the store."""
        self._observers.tell(Staged(at=self._clock.now(), sent=sent, total=total))

    def note(self, text: str) -> None:
        """Pass on a line of news."""
        self._observers.tell(Note(at=self._clock.now(), text=text))

    def tick(self) -> None:
        """Tell that time passes without news."""
        self._observers.tell(Tick(at=self._clock.now()))

    def changed(self, row: TaskRow, new: TaskState, old: TaskState | None = None) -> None:
        """Tell that a task goes to `new`; `old` defaults to the state its row still has."""
        duration = None
        if row.started_at is not None and row.ended_at is not None:
            duration = max(row.ended_at - row.started_at, 0.0)
        self._observers.tell(
            TaskChanged(
                at=self._clock.now(),
                task_id=row.id,
                attempt=row.attempt,
                old=old or row.state,
                new=new,
                reason=row.reason,
                exit_code=row.exit_code,
                detail=row.detail,
                duration=duration,
                started_at=row.started_at,
                ended_at=row.ended_at,
            )
        )

    def ended(self, state: str, counts: Mapping[TaskState, int]) -> None:
        """Tell that the driver has nothing left to do."""
        self._observers.tell(
            RunEnded(
                at=self._clock.now(),
                run_id=self._header.run_id,
                state=state,
                succeeded=counts[TaskState.SUCCEEDED],
                failed=counts[TaskState.FAILED],
                canceled=counts[TaskState.CANCELED],
            )
        )
