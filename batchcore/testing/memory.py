"""A backend in memory: tasks are functions of the test, everything else is the real contract."""

# ruff: noqa: ARG002 - the contract hands over more than a backend without a network needs

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from msgspec.structs import replace

from batchcore.backend import (
    Backend,
    Check,
    LogChunk,
    RunContext,
    Snapshot,
    Stream,
    TaskFiles,
    TaskSubmission,
    TaskUpdate,
)
from batchcore.clock import Clock, SystemClock
from batchcore.plan import Plan
from batchcore.states import FailureReason, TaskState
from batchcore.testing.memory_place import AttemptPlace, RunPlace
from batchcore.testing.outcome import Behaviour, Execution, Outcome, Work, execution_of, succeed

__all__ = ["Behaviour", "MemoryBackend", "Outcome", "succeed", "take_machine"]

_LOG_CHUNK = 1 << 20
_SLICE = 0.02

Key = tuple[str, str, int]


def take_machine(run_id: str, task_id: str) -> None:
    """Take the machine of a running task of `memory` away; works from anywhere in this process.

    At the next poll the task is killed and its attempt ends as failed, with the reason preempted.
    One that is not running yet loses its machine when it starts.
    """
    RunPlace(run_id).take(task_id)


class _Live:
    """An attempt that has not ended."""

    def __init__(self, submission: TaskSubmission, execution: Execution) -> None:
        self.task = submission.task
        self.number = submission.attempt
        self.execution = execution
        self.started_at: float | None = None
        self.kill_at: float | None = None
        self.is_late = False
        self.is_canceled = False


class MemoryBackend(Backend):
    """Keeps the contract in this process's memory; one object is one service.

    Several drivers may use the same object one after the other, as several processes use one
    service. What an attempt left lies in fsspec's memory file system until `release`, so another
    object knows it too; an attempt that has not ended is known to its own object alone.
    `executions` lists each attempt once, in the order in which it was accepted; `most_at_once` is
    the largest number of attempts that had not ended together.
    """

    def __init__(
        self, behaviour: Behaviour = succeed, clock: Clock | None = None, slots: int | None = None
    ) -> None:
        """Let `behaviour` say what becomes of each attempt; `slots` attempts run, default all."""
        self._behaviour = behaviour
        self._clock = clock or SystemClock()
        self._slots = slots
        self._known: set[Key] = set()
        self._live: dict[Key, _Live] = {}
        self._said: dict[str, list[TaskUpdate]] = defaultdict(list)
        self.executions: list[tuple[str, int]] = []
        self.most_at_once = 0
        self.released = False

    def check(self, plan: Plan) -> Check:
        """Accept every plan."""
        return Check()

    def store(self, run: RunContext) -> str:
        """Return a prefix of fsspec's memory file system."""
        return RunPlace(run.run_id).url

    def submit(self, run: RunContext, tasks: Sequence[TaskSubmission]) -> None:
        """Accept new attempts; adopt known ones, and those that have ended on another object."""
        for submission in tasks:
            key = (run.run_id, submission.task.id, submission.attempt)
            if key in self._known:
                continue
            end = _place(run, submission).end()
            if end is None:
                self._accept(key, submission)
            else:
                self._said[run.run_id].append(end)
            self._known.add(key)
        self.most_at_once = max(self.most_at_once, len(self._live))

    def poll(self, run: RunContext, cursor: str, wait: float) -> Snapshot:
        """Let every running attempt come nearer to its end."""
        said = self._said[run.run_id]
        deadline = self._clock.monotonic() + wait
        while True:
            for key in [key for key in self._live if key[0] == run.run_id]:
                self._step(run, key)
            updates = said[int(cursor or 0) :]
            if updates or not self.notifies or self._clock.monotonic() >= deadline:
                return Snapshot(updates=updates, cursor=str(len(said)))
            self._clock.sleep(_SLICE)

    def read_log(
        self, run: RunContext, attempt: TaskSubmission, stream: Stream, offset: int
    ) -> LogChunk:
        """Return the log as it is now, or as the end left it."""
        live = self._live.get((run.run_id, attempt.task.id, attempt.attempt))
        data = live.execution.log(stream) if live else _place(run, attempt).log(stream)
        chunk = data[offset : offset + _LOG_CHUNK]
        return LogChunk(chunk, live is None and offset + len(chunk) >= len(data))

    def cancel(self, run: RunContext, task_ids: Sequence[str]) -> None:
        """Stop the attempts of these tasks that have not ended."""
        for key, live in list(self._live.items()):
            if key[0] != run.run_id or live.task.id not in task_ids or live.is_canceled:
                continue
            live.is_canceled = True
            if live.started_at is None:
                self._end(key, Outcome(exit_code=None))
            else:
                self._stop(live)

    def outputs(self, run: RunContext, attempt: TaskSubmission) -> TaskFiles:
        """Return the attempt's prefix."""
        url = _place(run, attempt).url
        return TaskFiles(tree=f"{url}/wd", stdout=f"{url}/stdout.txt", stderr=f"{url}/stderr.txt")

    def release(self, run: RunContext, *, dry_run: bool) -> Sequence[str]:
        """Delete the run's prefix and forget its attempts."""
        place = RunPlace(run.run_id)
        running = [key for key in self._live if key[0] == run.run_id]
        if not running and not place.exists():
            return []
        if not dry_run:
            for key in running:
                self._live.pop(key).execution.close()
            place.remove()
            self._known = {key for key in self._known if key[0] != run.run_id}
            self._said.pop(run.run_id, None)
            self.released = True
        return [f"prefix {place.url}"]

    def close(self) -> None:
        """Kill the commands that run; they end as those that lost their machine do."""
        for key, live in list(self._live.items()):
            if live.started_at is not None and (outcome := live.execution.close()):
                self._end(key, outcome)

    def _accept(self, key: Key, submission: TaskSubmission) -> None:
        made = self._behaviour(submission.task, submission.attempt)
        self._live[key] = live = _Live(submission, execution_of(made, submission.task.id))
        self.executions.append(key[1:])
        self._say(key[0], live, TaskState.QUEUED)

    def _step(self, run: RunContext, key: Key) -> None:
        """Start an attempt if it can be, and see whether it has ended or must be stopped."""
        live = self._live[key]
        if live.started_at is None and not self._start(run, live):
            return
        if RunPlace(run.run_id).is_taken(live.task.id):
            left = live.execution.close() or Outcome(exit_code=None)
            preempted = FailureReason.PREEMPTED
            self._end(key, replace(left, reason=preempted, detail="its machine was taken away"))
        elif (outcome := live.execution.poll()) is not None:
            self._end(key, outcome)
        else:
            self._keep_time(live)

    def _start(self, run: RunContext, live: _Live) -> bool:
        running = sum(live.started_at is not None for live in self._live.values())
        if self._slots is not None and running >= self._slots:
            return False
        live.started_at = self._clock.now()
        live.execution.start(
            Work(run_id=run.run_id, task=live.task, attempt=live.number, store=run.store)
        )
        self._say(run.run_id, live, TaskState.RUNNING)
        return True

    def _keep_time(self, live: _Live) -> None:
        now, limit = self._clock.now(), live.task.timeout
        if live.kill_at is not None and now >= live.kill_at:
            live.execution.stop(kill=True)
        elif live.kill_at is None and limit is not None and now >= (live.started_at or 0) + limit:
            live.is_late = True
            self._stop(live)

    def _stop(self, live: _Live) -> None:
        live.kill_at = self._clock.now() + live.task.grace
        live.execution.stop(kill=False)

    def _say(self, run_id: str, live: _Live, state: TaskState) -> None:
        self._said[run_id].append(
            TaskUpdate(
                task_id=live.task.id,
                attempt=live.number,
                state=state,
                started_at=live.started_at,
            )
        )

    def _end(self, key: Key, outcome: Outcome) -> None:
        live = self._live.pop(key)
        run_id, task_id, number = key
        update = _end_update(live, outcome, self._clock.now())
        RunPlace(run_id).attempt(task_id, number).keep(outcome, update)
        self._said[run_id].append(update)


def _place(run: RunContext, attempt: TaskSubmission) -> AttemptPlace:
    return RunPlace(run.run_id).attempt(attempt.task.id, attempt.attempt)


def _end_update(live: _Live, outcome: Outcome, now: float) -> TaskUpdate:
    """Return the last update of an attempt; one that was canceled and exited 0 has succeeded."""
    state, reason, detail = TaskState.FAILED, outcome.reason, outcome.detail
    if live.is_canceled and outcome.exit_code != 0:
        state, reason = TaskState.CANCELED, None
    elif live.is_late and reason is None:
        reason = FailureReason.TIMEOUT
        detail = f"stopped after its time limit of {live.task.timeout:g} s"
    elif reason is None and outcome.exit_code == 0:
        state = TaskState.SUCCEEDED
    elif reason is None:
        reason = FailureReason.EXIT_CODE
    return TaskUpdate(
        task_id=live.task.id,
        attempt=live.number,
        state=state,
        reason=reason,
        exit_code=outcome.exit_code,
        detail=detail,
        retryable=outcome.retryable,
        started_at=live.started_at,
        ended_at=now,
    )
