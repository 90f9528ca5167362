"""The one loop: stage, submit, poll, collect, until every task of a run has ended.

Before each call that another process could see the intent is on disk, so a run that is killed
anywhere is continued by the same command: attempts that were submitted are submitted again under
the same numbers, and the backend adopts them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec import Struct

from batchcore import crash
from batchcore.backend import Backend, RunContext, TaskSubmission, TaskUpdate
from batchcore.clock import Clock, SystemClock
from batchcore.driver.announce import Announcer
from batchcore.driver.finish import Gather, Gatherer, finish
from batchcore.driver.ledger import Ledger
from batchcore.driver.schedule import Schedule, backoff, may_retry
from batchcore.errors import BackendError, Detached
from batchcore.events import Observers
from batchcore.patience import Patience
from batchcore.plan import Plan
from batchcore.record import Record, TaskRow
from batchcore.record.requests import CancelRequest, take_requests
from batchcore.states import Budget, TaskState
from batchcore.transfer.files import FileRecord
from batchcore.transfer.stage import keep_copy, local_path, stage, still_staged

_TICK = 1.0
_SLOWEST_TICK = 15.0
CANCEL_SECONDS = 120.0
"""How long a canceled run is driven, its longest grace time aside, before it is left."""
_IN_FLIGHT = frozenset(
    {
        TaskState.QUEUED,
        TaskState.PREPARING,
        TaskState.RUNNING,
        TaskState.FINALIZING,
        TaskState.UNKNOWN,
    }
)


def patience_to_cancel(plan: Plan) -> float:
    """Return how many seconds the tasks of a plan have to end once they are canceled."""
    return CANCEL_SECONDS + max((task.grace for task in plan.tasks), default=0.0)


class Policy(Struct, frozen=True, kw_only=True):
    """How a run is driven: how many tasks at once, and whether the first failure stops it."""

    max_parallel: int | None = None
    fail_fast: bool = False


class Driver:
    """Drives one run to its end; owns the record while it does."""

    def __init__(
        self,
        record: Record,
        backend: Backend,
        *,
        policy: Policy | None = None,
        observers: Observers | None = None,
        clock: Clock | None = None,
        chance: random.Random | None = None,
    ) -> None:
        """Take an open record and a backend; clock and chance are injected by tests."""
        self._record = record
        self._backend = backend
        self._policy = policy or Policy()
        self._clock = clock or SystemClock()
        self._chance = chance or random.Random()  # noqa: S311 - jitter, not a secret
        self._tasks = {task.id: task for task in record.header.plan.tasks}
        self._active: set[str] = set()
        self._in_flight: list[str] = []
        self._cursor = ""
        self._stopping = False
        self._detach = 0
        self._asked: list[CancelRequest] = []
        self._until: tuple[float, int] | None = None
        self._announcer = Announcer(
            observers or Observers(), self._clock, record.header, record.directory
        )
        self._patience = Patience(self._clock, self._chance, self._before_pause)
        self._context = RunContext(
            run_id=record.header.run_id,
            plan=record.header.plan,
            directory=record.directory,
            notify=self._announcer.note,
        )

    def detach(self, exit_code: int) -> None:
        """Leave the run at the next tick; safe to call from a signal handler."""
        self._detach = exit_code

    def cancel(self, exit_code: int) -> None:
        """Cancel every task at the next tick; safe to call from a signal handler.

        What has not ended after `patience_to_cancel` is left as by `detach`.
        """
        patience = patience_to_cancel(self._context.plan)
        self._until = self._clock.monotonic() + patience, exit_code
        self._asked.append(CancelRequest())

    def run(self) -> str:
        """Drive until every task has ended; return ``succeeded``, ``failed`` or ``canceled``.

        Raises `Detached` after `detach`, and the backend's error where it did not recover; in
        both cases the same command continues.
        """
        with self._record.errors():
            self._begin()
            self._stage()
            self._recover()
            tick = _TICK
            while self._step():
                changed = self._poll(tick)
                tick = _TICK if changed else min(tick * 1.5, _SLOWEST_TICK)
            return self._end()

    def submit_only(self) -> None:
        """Submit all that can be submitted now; what waits is left to the next command.

        On return the backend has accepted it. Where nothing is left, the run is ended.
        """
        with self._record.errors():
            self._begin()
            self._stage()
            self._recover()
            if not self._step():
                self._end()

    def cancel_only(self, task_ids: Sequence[str] = ()) -> None:
        """Cancel these tasks, or all, and drive until those that had been started have ended.

        Starts nothing new; other tasks stay as they are for the next command.
        """
        with self._record.errors():
            self._begin(task_ids, last=True)
            wanted = set(task_ids or self._rows)
            self._in_flight = [task_id for task_id in self._in_flight if task_id in wanted]
            self._handle_requests()
            self._context = msgspec.structs.replace(
                self._context,
                store=self._patience.repeat(lambda: self._backend.store(self._context)),
            )
            self._recover()
            self._stopping = True
            while self._active & wanted and self._step():
                self._poll(_TICK)
            if all(row.state.final for row in self._rows.values()):
                self._end()

    def _begin(self, task_ids: Sequence[str] = (), *, last: bool = False) -> None:
        self._ledger = Ledger(self._record, self._announcer, self._clock)
        self._rows = self._ledger.rows
        self._is_attached = self._record.is_attached
        if self._is_attached:
            self._take_up(task_ids or list(self._rows), last=last)
        self._schedule = Schedule(self._tasks.values(), self._rows)
        in_flight = [row.id for row in self._rows.values() if _is_submitted(row)]
        self._in_flight = self._schedule.drop(in_flight)
        failed = any(row.state is TaskState.FAILED for row in self._rows.values())
        self._stopping = self._policy.fail_fast and failed
        self._announcer.started(self._rows)

    def _take_up(self, task_ids: Sequence[str], *, last: bool) -> None:
        """Ask what the backend has of tasks that another machine may have submitted."""
        pending = [t for t in task_ids if self._rows[t].state is TaskState.PENDING]
        if pending:
            found = self._patience.repeat(lambda: self._backend.poll(self._context, "", 0))
            self._ledger.take_up(pending, found.updates, last=last)

    def _stage(self) -> None:
        """Bring the resources of every task that has not ended into the store."""
        if self._schedule.exhausted and not self._in_flight:
            return
        store = self._patience.repeat(lambda: self._backend.store(self._context))
        self._context = msgspec.structs.replace(self._context, store=store)
        files = {
            file.key: file
            for task_id, task in self._tasks.items()
            if not self._rows[task_id].state.final
            for file in task.files
        }
        begun = self._clock.now()
        sent = self._patience.repeat(
            lambda: stage(
                files.values(),
                store,
                still_staged(store, self._record.staged()),
                self._save_staged,
                self._backend.filesystem,
            )
        )
        self._record.save_staging(begun, self._clock.now())
        self._announcer.staged(sent, len(files))
        self._keep_copy(store)

    def _keep_copy(self, store: str) -> None:
        """Put ``job.json`` beside the resources of all tasks, for another machine to attach."""
        begun = any(row.attempt or row.state.final for row in self._rows.values())
        if begun or local_path(store) is not None or self._record.store == store:
            return
        path = self._record.directory / "job.json"
        self._patience.repeat(lambda: keep_copy(path, store, self._backend.filesystem))
        self._record.save_store(store)

    def _save_staged(self, key: str, file: FileRecord) -> None:
        crash.reach("stage.uploaded")
        self._record.save_staged({key: file})
        crash.reach("stage.recorded")

    def _recover(self) -> None:
        """Submit again what was in flight, so that the backend adopts it or says it is gone."""
        for task_id in self._schedule.blocked_from_the_start():
            self._give_up(task_id)
        canceling = [t for t in self._in_flight if self._rows[t].canceling]
        if self._in_flight:
            # Before as well, for a backend that can still keep them from starting.
            self._cancel_on_backend(canceling)
            self._send(self._in_flight)
            self._cancel_on_backend(canceling)

    def _step(self) -> bool:
        """Do what can be done now; return whether there is anything left to wait for."""
        self._leave_if_asked()
        self._handle_requests()
        limit = self._policy.max_parallel or len(self._tasks)
        room = limit - len(self._active)
        ready = [] if self._stopping else self._schedule.take(self._clock.monotonic(), room)
        if ready:
            self._ledger.queue(ready)
            crash.reach("submit.recorded")
            self._send(ready)
            crash.reach("submit.accepted")
        return bool(self._active) or not (self._stopping or self._schedule.exhausted)

    def _send(self, task_ids: Sequence[str]) -> None:
        self._active.update(task_ids)
        submissions = [self._submission(task_id) for task_id in task_ids]
        self._patience.repeat(lambda: self._backend.submit(self._context, submissions))

    def _submission(self, task_id: str) -> TaskSubmission:
        return TaskSubmission(self._tasks[task_id], self._rows[task_id].attempt)

    def _poll(self, tick: float) -> bool:
        """Ask once for news of the whole run; return whether there was any."""
        wait = tick * (0.8 + 0.4 * self._chance.random())
        due = self._schedule.next_time()
        if due is not None:
            wait = max(0.0, min(wait, due - self._clock.monotonic()))
        if not self._active:
            self._announcer.tick()
            self._clock.sleep(wait)
            return False
        limit = min(wait, _TICK) if self._backend.notifies else 0
        snapshot = self._patience.repeat(
            lambda: self._backend.poll(self._context, self._cursor, limit)
        )
        self._cursor = snapshot.cursor
        crash.reach("poll.received")
        self._apply(snapshot.updates)
        if not snapshot.updates:
            self._announcer.tick()
        if not self._backend.notifies:
            self._clock.sleep(wait)
        return bool(snapshot.updates)

    def _apply(self, updates: Sequence[TaskUpdate]) -> None:
        """Believe what is news of the current attempt; ends are looked at one by one."""
        current = [u for u in updates if u.task_id in self._active and self._ledger.is_current(u)]
        self._ledger.move(update for update in current if not update.state.final)
        ends: dict[str, TaskUpdate] = {}
        for update in current:
            if update.state.final:  # one that came twice was the end of one attempt
                ends.setdefault(update.task_id, update)
        if ends:
            self._collect(ends.values())

    def _collect(self, ends: Iterable[TaskUpdate]) -> None:
        """Gather what the attempts left, and look at their ends one by one."""
        wanted = ((self._tasks[update.task_id], update) for update in ends)
        leave = self._leave_if_asked
        with Gatherer(self._record, self._backend, self._context, leave) as gatherer:
            for update, gather in gatherer.each(wanted):
                leave()
                self._finish(update, gather)

    def _finish(self, update: TaskUpdate, gather: Gather) -> None:
        """Take what an ended attempt left, and decide what its end means."""
        row, task = self._rows[update.task_id], self._tasks[update.task_id]
        old = self._ledger.finalize(update)
        gathered = self._patience.repeat(gather)
        finished = finish(self._record, self._context, task, update, gathered)
        self._active.discard(row.id)
        budget = may_retry(row, task, finished.ending)
        if budget is Budget.NONE:
            self._ledger.end(row, old, finished)
            self._after_end(row)
        else:
            self._ledger.try_again(row, old, finished, budget)
            wait = backoff(row, budget, self._chance.random())
            self._schedule.put_back(row.id, self._clock.monotonic() + wait)

    def _after_end(self, row: TaskRow) -> None:
        if row.state is TaskState.FAILED and self._policy.fail_fast:
            self._stopping = True
        for blocked in self._schedule.ended(row.id):
            self._give_up(blocked)

    def _give_up(self, task_id: str) -> None:
        """End a task that can never start, and those that wait for it in turn."""
        pending = [task_id]
        while pending:
            blocked = pending.pop()
            self._ledger.block(blocked, self._schedule.blocked_by(blocked))
            pending += self._schedule.ended(blocked)

    def _handle_requests(self) -> None:
        """Act on what is asked of this run, here and by other processes."""
        for request in self._requests():
            wanted = [t for t in (request.task_ids or self._rows) if t in self._rows]
            rows = [self._rows[t] for t in wanted if not self._rows[t].state.final]
            self._ledger.flag_canceling(rows)
            self._cancel_unsent([row.id for row in rows])
            running = [r.id for r in rows if r.id in self._active or self._is_attached]
            if running:
                self._cancel_on_backend(running)

    def _requests(self) -> Iterator[CancelRequest]:
        while self._asked:
            yield self._asked.pop()
        yield from take_requests(self._record.directory)

    def _cancel_on_backend(self, task_ids: Sequence[str]) -> None:
        if task_ids:
            self._patience.repeat(lambda: self._backend.cancel(self._context, task_ids))

    def _cancel_unsent(self, task_ids: Sequence[str]) -> None:
        rows = [self._rows[task_id] for task_id in self._schedule.drop(task_ids)]
        self._ledger.cancel(rows, "canceled before it was started")
        for row in rows:
            self._after_end(row)

    def _end(self) -> str:
        """Say how the run ended; after a full success nothing but the results stays behind."""
        if self._stopping:
            left = [row for row in self._rows.values() if not row.state.final]
            self._schedule.drop([row.id for row in left])
            self._ledger.cancel(left, "not started: an earlier task failed")
        state, count = self._ledger.conclude()
        crash.reach("run.ended")
        if state == "succeeded":
            self._record.settle()
            crash.reach("run.settled")
            self._patience.repeat(lambda: self._backend.settle(self._context))
            crash.reach("run.released")
        self._announcer.ended(state, count)
        return state

    def _leave_if_asked(self) -> None:
        """Raise `Detached` after `detach`; may be called in several threads."""
        if self._until and self._clock.monotonic() >= self._until[0]:
            self._detach = self._until[1]
        if not self._detach:
            return
        running = len(self._active)
        waiting = sum(not row.state.final for row in self._rows.values()) - running
        raise Detached(
            f"Detached. {running} tasks are submitted or running, {waiting} wait for the next run.",
            signal_exit=self._detach,
        )

    def _before_pause(self, error: BackendError, seconds: float) -> None:
        self._announcer.note(f"{error.reason}; trying again in {seconds:.0f} s")
        self._leave_if_asked()


def _is_submitted(row: TaskRow) -> bool:
    """Return whether a backend may have the attempt; one after an interruption waits first."""
    return row.state in _IN_FLIGHT and row.submitted_at is not None
