"""What became of a run's attempts: one question to Slurm, one listing of each array job's marks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from batchcore.backend import RunContext, Snapshot, TaskUpdate
from batchcore.states import can_move
from batchcore_slurm import arrays
from batchcore_slurm.answers import Row
from batchcore_slurm.arrays import Array, Book, Key
from batchcore_slurm.commands import Slurm
from batchcore_slurm.outcome import Seen, update_of
from batchcore_slurm.stop import STOP, signal

_REPEAT_SECONDS = 5.0
Rows = Mapping[tuple[str, int], Row]


class Watcher:
    """Remembers what was said of each attempt of one run, and says what is new."""

    def __init__(
        self,
        slurm: Slurm,
        run: RunContext,
        book: Book,
        patience: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`patience` is how many seconds a mark may take to be seen here."""
        self._slurm = slurm
        self._run = run
        self._book = book
        self._patience = patience
        self._clock = clock
        self._last: dict[Key, TaskUpdate] = {}
        self._log: list[TaskUpdate] = []
        self._gone_since: dict[Key, float] = {}
        self._signaled = clock()

    def poll(self, cursor: str) -> Snapshot:
        """Return what changed since a cursor of this watcher, or all that is known."""
        self._look()
        position = str(len(self._log))
        if not cursor:
            return Snapshot(updates=tuple(self._last.values()), cursor=position)
        return Snapshot(updates=tuple(self._log[int(cursor) :]), cursor=position)

    def has_ended(self, key: Key) -> bool:
        """Return whether an attempt was said to have ended."""
        last = self._last.get(key)
        return last is not None and last.state.final

    def _look(self) -> None:
        open_arrays = [
            (array, job)
            for array in self._book.arrays.values()
            if not all(map(self.has_ended, array.attempts)) and (job := array.job)
        ]
        if not open_arrays:
            return
        # Slurm first: what it says has ended has left its marks before.
        rows = {
            (row.job, row.index): row
            for row in self._slurm.queue(arrays.job_name(self._run.run_id))
        }
        found = [seen for array, job in open_arrays for seen in self._seen(array, job, rows)]
        for seen in self._with_accounts(found):
            self._say(seen, seen.told or update_of(seen))
        self._repeat_cancel(found)

    def _seen(self, array: Array, job: str, rows: Rows) -> Iterable[Seen]:
        marks = array.seen_marks()
        for index, key in enumerate(array.attempts):
            if self.has_ended(key):
                continue
            home, row = job, rows.get((job, index))
            begun = f"{index}.begun" in marks
            end = array.end_of(index) if f"{index}.exit" in marks else None
            if begun and (row is None or row.state != "RUNNING"):
                # A job whose answer was lost, and that arrived late, may have been first.
                home = array.begun_by(index) or job
                row = rows.get((home, index))
            running = f"{index}.running" in marks
            gone = end is None and (row is None or row.ended)
            yield Seen(
                task_id=key[0],
                attempt=key[1],
                job=f"{home}_{index}",
                row=row,
                begun=begun,
                running_since=arrays.mtime(array.marks / f"{index}.running") if running else None,
                canceled=f"{index}.canceled" in marks,
                end=end,
                settled=self._is_settled(key, gone=gone),
                told=array.told(index) if f"{index}.told" in marks else None,
            )

    def _is_settled(self, key: Key, *, gone: bool) -> bool:
        """Return whether Slurm has been done with an attempt for long enough."""
        if not gone:
            self._gone_since.pop(key, None)
            return False
        since = self._gone_since.setdefault(key, self._clock())
        return self._clock() - since >= self._patience

    def _with_accounts(self, found: Sequence[Seen]) -> Iterable[Seen]:
        """Let the cluster's accounts say how those ended that Slurm has forgotten."""
        lost = {seen.job.partition("_")[0] for seen in found if seen.unexplained}
        if not lost:
            return found
        # What is not in the queue does not run, whatever the accounts say.
        ended = [row for row in self._slurm.accounted(sorted(lost)) if row.ended]
        rows = {f"{row.job}_{row.index}": row for row in ended}
        return [seen if seen.row else _replaced(seen, rows.get(seen.job)) for seen in found]

    def _say(self, seen: Seen, update: TaskUpdate | None) -> None:
        if update is None:
            return
        key = (update.task_id, update.attempt)
        last = self._last.get(key)
        moved = last is None or can_move(last.state, update.state)
        told_more = last is not None and last.state is update.state and last.detail != update.detail
        if moved or told_more:
            self._write_down(seen, update)
            self._last[key] = update
            self._log.append(update)

    def _write_down(self, seen: Seen, update: TaskUpdate) -> None:
        """Let an end stand that would be told otherwise once Slurm has forgotten it."""
        if update.state.final and seen.told is None and not seen.marked:
            array, index = self._book.places[seen.task_id, seen.attempt]
            array.tell(index, update)

    def _repeat_cancel(self, found: Sequence[Seen]) -> None:
        """Ask again where a request to stop came before there was anything to stop."""
        late = [seen.row for seen in found if seen.canceled and seen.end is None and seen.row]
        if late and self._clock() - self._signaled >= _REPEAT_SECONDS:
            self._signaled = self._clock()
            signal(self._slurm, late, STOP)


def _replaced(seen: Seen, row: Row | None) -> Seen:
    return msgspec.structs.replace(seen, row=row)
