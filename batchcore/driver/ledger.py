"""What is known of every task of a run: in memory, on disk and told, always in step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from batchcore import crash
from batchcore.backend import TaskUpdate
from batchcore.clock import Clock
from batchcore.driver.announce import Announcer
from batchcore.driver.finish import Finished
from batchcore.driver.schedule import next_attempt
from batchcore.record import Record, TaskRow, durability, manifest
from batchcore.states import Budget, FailureReason, TaskState, can_move
from batchcore.transfer.collect import withdraw


class Ledger:
    """The rows of a run; every change goes through here, to the record and to the observers."""

    def __init__(self, record: Record, announcer: Announcer, clock: Clock) -> None:
        """Read the rows."""
        self._record = record
        self._unsynced = record.unsynced
        self._announcer = announcer
        self._clock = clock
        self._preparing: dict[str, float] = {}
        self.rows = {row.id: row for row in record.rows()}

    def take_up(
        self, task_ids: Iterable[str], updates: Iterable[TaskUpdate], *, last: bool
    ) -> None:
        """Write down which of these tasks a backend has already; see `taken_up`."""
        rows = [self.rows[task_id] for task_id in task_ids]
        taken = taken_up(rows, updates, self._clock.now(), last=last)
        self.rows |= {row.id: row for row in taken}
        self._record.save(taken)

    def queue(self, task_ids: Iterable[str]) -> None:
        """Write down that these tasks are about to be submitted; a pending one gets its attempt."""
        rows = [self.rows[task_id] for task_id in task_ids]
        for row in rows:
            if row.state is TaskState.PENDING:
                self._announcer.changed(row, TaskState.QUEUED)
                row.state, row.attempt = TaskState.QUEUED, row.attempt + 1
            row.submitted_at = self._clock.now()
        self._record.save(rows)

    def is_current(self, update: TaskUpdate) -> bool:
        """Return whether an update speaks of the attempt that a task is in."""
        row = self.rows.get(update.task_id)
        return row is not None and update.attempt == row.attempt and not row.state.final

    def move(self, updates: Iterable[TaskUpdate]) -> None:
        """Take over what has changed without ending; what would go back is not believed."""
        moved: dict[str, TaskRow] = {}
        for update in updates:
            row = self.rows[update.task_id]
            if can_move(row.state, update.state):
                if update.state is TaskState.PREPARING:
                    self._preparing[row.id] = self._clock.now()
                self._announcer.changed(row, update.state)
                row.state = update.state
                row.node = update.node or row.node
                row.started_at = update.started_at or row.started_at
                row.detail = update.detail
                moved[row.id] = row
            elif row.state is update.state and row.detail != update.detail:
                row.detail = update.detail
                moved[row.id] = row
        self._record.save(moved.values())

    def finalize(self, update: TaskUpdate) -> TaskState:
        """Note in memory that an attempt is being looked at; return the state before."""
        row = self.rows[update.task_id]
        row.native, row.node = update.native, update.node or row.node
        row.started_at = update.started_at or row.started_at
        row.ended_at = update.ended_at or self._clock.now()
        old, row.state = row.state, TaskState.FINALIZING
        return old

    def end(self, row: TaskRow, old: TaskState, finished: Finished) -> None:
        """Publish what a task left and write down its end."""
        self._judge(row, finished)
        self._note_unsynced()
        files = finished.publish()
        if row.state is TaskState.SUCCEEDED:
            published = manifest.Published(
                task=row.id,
                attempt=row.attempt,
                files=files,
                started_at=row.started_at,
                ended_at=row.ended_at,
                preparing_at=self._preparing.get(row.id),
                collected_at=self._clock.now(),
            )
            manifest.add(self._record.directory, published)
        self._record.save_end(row, files)
        crash.reach("collect.recorded")
        self._announcer.changed(row, row.state, old)

    def try_again(self, row: TaskRow, old: TaskState, finished: Finished, budget: Budget) -> None:
        """Write down the end of an attempt, and that another one follows, paid by `budget`."""
        self._judge(row, finished)
        finished.discard()
        self._record.save_attempt(row)
        self._announcer.changed(row, TaskState.QUEUED, old)
        self._preparing.pop(row.id, None)
        next_attempt(row, budget)
        self._record.save([row])

    def block(self, task_id: str, cause: str) -> None:
        """Fail a task that can never start, because of how the task `cause` ended."""
        row = self.rows[task_id]
        row.reason = FailureReason.DEPENDENCY
        row.detail = f"it waits for {cause!r}, which {self.rows[cause].state}"
        self._end_unstarted(row, TaskState.FAILED)
        self._save_unstarted([row])

    def cancel(self, rows: Sequence[TaskRow], why: str) -> None:
        """End tasks that no attempt of this command has been made for."""
        for row in rows:
            row.detail = why
            self._end_unstarted(row, TaskState.CANCELED)
        self._save_unstarted(rows)

    def flag_canceling(self, rows: Sequence[TaskRow]) -> None:
        """Write down that somebody wants these tasks to stop."""
        for row in rows:
            row.canceling = True
        self._record.save(rows)

    def _note_unsynced(self) -> None:
        """Write down, once and before the first of them, that files are not on disk yet."""
        if not self._unsynced:
            self._unsynced = durability.boot_id()
            self._record.save_meta("unsynced", self._unsynced)

    def _sync(self) -> None:
        if self._unsynced:
            durability.sync(self._record.published_paths(), self._record.directory)
            self._unsynced = ""
            self._record.save_meta("unsynced", "")

    def conclude(self) -> tuple[str, Mapping[TaskState, int]]:
        """Write down how the run ended and return it, with how many tasks ended in each state.

        What was published is on disk before that; raises `TransferError` where it cannot be.
        """
        count = dict.fromkeys(TaskState, 0)
        for row in self.rows.values():
            count[row.state] += 1
        state = "succeeded"
        if count[TaskState.FAILED]:
            state = "failed"
        elif count[TaskState.CANCELED]:
            state = "canceled"
        self._sync()
        self._record.save_meta("state", state)
        return state, count

    def _judge(self, row: TaskRow, finished: Finished) -> None:
        ending = finished.ending
        row.state, row.reason = ending.state, ending.reason
        row.exit_code, row.detail = ending.exit_code, ending.detail

    def _end_unstarted(self, row: TaskRow, state: TaskState) -> None:
        old, row.state = row.state, state
        row.ended_at = self._clock.now()
        self._announcer.changed(row, state, old)

    def _save_unstarted(self, rows: Sequence[TaskRow]) -> None:
        """Write these ends down; files of earlier attempts would pass for what they left."""
        for row in rows:
            withdraw(self._record.outputs_of(row.id), self._record.outputs_directory)
        self._record.save_unstarted(rows)


def taken_up(
    rows: Iterable[TaskRow], updates: Iterable[TaskUpdate], now: float, *, last: bool = False
) -> list[TaskRow]:
    """Return, of these rows, the pending ones that a backend has attempts of, as it says they are.

    Each is in the next attempt that the backend knows, so that all are judged one after the other,
    or in the `last`. One that has ended there is `finalizing`: nobody has looked at its end yet.
    """
    known: dict[str, dict[int, TaskUpdate]] = {}
    for update in updates:
        known.setdefault(update.task_id, {})[update.attempt] = update
    choose = max if last else min
    taken = []
    for row in rows:
        attempts = [number for number in known.get(row.id, ()) if number > row.attempt]
        if row.state is TaskState.PENDING and attempts:
            taken.append(_as_told(row, known[row.id][choose(attempts)], now))
    return taken


def _as_told(row: TaskRow, update: TaskUpdate, now: float) -> TaskRow:
    has_ended = update.state.final
    return replace(
        row,
        state=TaskState.FINALIZING if has_ended else update.state,
        attempt=update.attempt,
        detail="it has ended, and is not collected yet" if has_ended else update.detail,
        node=update.node,
        submitted_at=now,
        started_at=update.started_at,
        ended_at=update.ended_at if has_ended else None,
    )
