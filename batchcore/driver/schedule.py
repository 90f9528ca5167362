"""Which task may start, and what an end means for it and for those that wait. Pure, no I/O."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Mapping

from msgspec import Struct

from batchcore.plan import PlannedTask
from batchcore.record import TaskRow
from batchcore.states import Budget, FailureReason, TaskState, budget_of

BACKOFF_SECONDS = 2.0
BACKOFF_CEILING = 60.0


class Ending(Struct, frozen=True, kw_only=True):
    """How an attempt ended, after its outputs were looked at."""

    state: TaskState
    reason: FailureReason | None = None
    exit_code: int | None = None
    detail: str = ""
    retryable: bool = True


def may_retry(row: TaskRow, task: PlannedTask, ending: Ending) -> Budget:
    """Return the budget that pays for another attempt, or `Budget.NONE` where none does."""
    if ending.state is not TaskState.FAILED or not ending.retryable or row.canceling:
        return Budget.NONE
    budget = budget_of(ending.reason or FailureReason.BACKEND)
    spent = {Budget.RETRIES: row.retries, Budget.INTERRUPTIONS: row.interruptions}
    allowed = {Budget.RETRIES: task.retries, Budget.INTERRUPTIONS: task.interruptions}
    if budget is Budget.NONE or spent[budget] >= allowed[budget]:
        return Budget.NONE
    return budget


def next_attempt(row: TaskRow, budget: Budget) -> None:
    """Turn a row whose attempt has ended into one that is queued for the next attempt."""
    if budget is Budget.RETRIES:
        row.retries += 1
    if budget is Budget.INTERRUPTIONS:
        row.interruptions += 1
    row.state = TaskState.QUEUED
    row.attempt += 1
    row.reason, row.exit_code, row.detail = None, None, ""
    row.submitted_at = row.started_at = row.ended_at = None


def backoff(row: TaskRow, budget: Budget, jitter: float) -> float:
    """Return how many seconds to wait before an attempt; `jitter` is from 0 to 1.

    A task's own failure is retried at once, an interruption after a growing, jittered time.
    """
    if budget is not Budget.INTERRUPTIONS:
        return 0.0
    return longest_backoff(row) * (0.5 + jitter / 2)


def longest_backoff(row: TaskRow) -> float:
    """Return how many seconds an attempt waits at most after an interruption."""
    return min(BACKOFF_CEILING, BACKOFF_SECONDS * 2.0 ** (row.interruptions - 1))


class Schedule:
    """The tasks that have not ended: which are ready, which wait for others or for a time."""

    def __init__(self, tasks: Iterable[PlannedTask], rows: Mapping[str, TaskRow]) -> None:
        """Sort the tasks by what the record says of them."""
        self._rows = rows
        self._tasks = {task.id: task for task in tasks}
        self._waiting: dict[str, dict[str, str]] = {}
        self._dependents: dict[str, list[str]] = {}
        self._ready: deque[str] = deque()
        self._later: list[tuple[float, str]] = []
        for task in self._tasks.values():
            for dependency in task.depends_on:
                self._dependents.setdefault(dependency.task, []).append(task.id)
            if not rows[task.id].state.final:
                self._sort_in(task)

    def _sort_in(self, task: PlannedTask) -> None:
        open_ones: dict[str, str] = {}
        for link in task.depends_on:
            if not self._rows[link.task].state.final and open_ones.get(link.task) != "success":
                open_ones[link.task] = link.on
        if open_ones:
            self._waiting[task.id] = open_ones
        else:
            self._ready.append(task.id)

    @property
    def exhausted(self) -> bool:
        """Whether no task is left to start, now or later."""
        return not (self._ready or self._later or self._waiting)

    def take(self, now: float, limit: int) -> list[str]:
        """Return at most `limit` ids of tasks that may start now; they are the caller's then."""
        while self._later and self._later[0][0] <= now:
            self._ready.append(heapq.heappop(self._later)[1])
        taken: list[str] = []
        while self._ready and len(taken) < limit:
            task_id = self._ready.popleft()
            if not self._rows[task_id].state.final:
                taken.append(task_id)
        return taken

    def next_time(self) -> float | None:
        """Return when the next delayed task may start."""
        return self._later[0][0] if self._later else None

    def put_back(self, task_id: str, at: float) -> None:
        """Let a task start again, not before `at`."""
        heapq.heappush(self._later, (at, task_id))

    def blocked_by(self, task_id: str) -> str:
        """Return the dependency that ended so that a task can never start, or an empty string."""
        for dependency in self._tasks[task_id].depends_on:
            state = self._rows[dependency.task].state
            if state.final and dependency.on == "success" and state is not TaskState.SUCCEEDED:
                return dependency.task
        return ""

    def ended(self, task_id: str) -> list[str]:
        """Note that a task has ended for good; return those that can now never start."""
        blocked = []
        succeeded = self._rows[task_id].state is TaskState.SUCCEEDED
        for dependent in self._dependents.get(task_id, ()):
            if dependent not in self._waiting:
                continue
            if self._waiting[dependent].pop(task_id, "any") == "success" and not succeeded:
                del self._waiting[dependent]
                blocked.append(dependent)
            elif not self._waiting[dependent]:
                del self._waiting[dependent]
                self._ready.append(dependent)
        return blocked

    def blocked_from_the_start(self) -> list[str]:
        """Return the tasks that cannot start because of an end in an earlier command.

        They are the caller's then, as those that `ended` returns are.
        """
        blocked = [t for t in (*self._ready, *self._waiting) if self.blocked_by(t)]
        self.drop(blocked)
        return blocked

    def drop(self, task_ids: Iterable[str]) -> list[str]:
        """Forget these tasks; return the ones that had not been taken."""
        wanted = set(task_ids)
        found = [t for t in (*self._ready, *self._waiting) if t in wanted]
        found += [t for _, t in self._later if t in wanted]
        self._ready = deque(t for t in self._ready if t not in wanted)
        self._later = [(at, t) for at, t in self._later if t not in wanted]
        heapq.heapify(self._later)
        for task_id in found:
            self._waiting.pop(task_id, None)
        return found
