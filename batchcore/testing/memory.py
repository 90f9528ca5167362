"""A backend in memory: tasks are functions of the test, everything else is the real contract."""

# ruff: noqa: ARG002 - the contract hands over more than a backend without a network needs

from __future__ import annotations

from collections.abc import Callable, Sequence

import fsspec
from msgspec import Struct

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
from batchcore.plan import Plan, PlannedTask
from batchcore.states import FailureReason, TaskState


class Outcome(Struct, frozen=True, kw_only=True):
    """What becomes of one attempt, and after how many polls.

    `files` are what the worker leaves, `exit_code` None means that it never ran.
    """

    exit_code: int | None = 0
    reason: FailureReason | None = None
    files: dict[str, bytes] = {}
    stdout: bytes = b""
    stderr: bytes = b""
    detail: str = ""
    retryable: bool = True
    polls: int = 1


Behaviour = Callable[[PlannedTask, int], Outcome]


def succeed(task: PlannedTask, _attempt: int) -> Outcome:
    """Leave every output that names one file, with the task's id as content."""
    files = {o.path: task.id.encode() for o in task.outputs if not o.is_pattern}
    return Outcome(files=files)


class MemoryBackend(Backend):
    """Keeps the contract without running anything; one object is one service.

    Several drivers may use the same object one after the other, as several processes use one
    service. `executions` lists each attempt once, in the order in which it was accepted;
    `most_at_once` is the largest number of attempts that had not ended together.
    """

    def __init__(self, behaviour: Behaviour = succeed, clock: Clock | None = None) -> None:
        """Let `behaviour` say what becomes of each attempt."""
        self._behaviour = behaviour
        self._clock = clock or SystemClock()
        self._left: dict[tuple[str, int], int] = {}
        self._outcomes: dict[tuple[str, int], Outcome] = {}
        self._updates: list[TaskUpdate] = []
        self.executions: list[tuple[str, int]] = []
        self.most_at_once = 0
        self.released = False

    def check(self, plan: Plan) -> Check:
        """Accept every plan."""
        return Check()

    def store(self, run: RunContext) -> str:
        """Return a prefix of fsspec's memory file system."""
        return f"memory://batchcore/{run.run_id}"

    def submit(self, run: RunContext, tasks: Sequence[TaskSubmission]) -> None:
        """Accept new attempts; adopt known ones."""
        for submission in tasks:
            key = (submission.task.id, submission.attempt)
            if key in self._outcomes:
                continue
            self.executions.append(key)
            outcome = self._behaviour(submission.task, submission.attempt)
            self._outcomes[key], self._left[key] = outcome, outcome.polls
            self._write(run, submission, outcome)
            self._say(key, TaskState.QUEUED)
        self.most_at_once = max(self.most_at_once, len(self._left))

    def poll(self, run: RunContext, cursor: str, wait: float) -> Snapshot:
        """Let every running attempt come one poll nearer to its end."""
        for key in list(self._left):
            self._left[key] -= 1
            self._say(key, TaskState.RUNNING)
            if self._left[key] <= 0:
                del self._left[key]
                self._say_end(key)
        return Snapshot(updates=self._updates[int(cursor or 0) :], cursor=str(len(self._updates)))

    def read_log(
        self, run: RunContext, attempt: TaskSubmission, stream: Stream, offset: int
    ) -> LogChunk:
        """Return the log from the outcome."""
        key = (attempt.task.id, attempt.attempt)
        outcome = self._outcomes.get(key)
        data = getattr(outcome, stream)[offset:] if outcome else b""
        return LogChunk(data, key not in self._left)

    def cancel(self, run: RunContext, task_ids: Sequence[str]) -> None:
        """End running attempts of these tasks."""
        for key in [k for k in self._left if k[0] in task_ids]:
            del self._left[key]
            self._updates.append(
                TaskUpdate(task_id=key[0], attempt=key[1], state=TaskState.CANCELED)
            )

    def outputs(self, run: RunContext, attempt: TaskSubmission) -> TaskFiles:
        """Return the attempt's prefix."""
        place = self._place(run, attempt)
        return TaskFiles(
            tree=f"{place}/wd", stdout=f"{place}/stdout.txt", stderr=f"{place}/stderr.txt"
        )

    def release(self, run: RunContext, *, dry_run: bool) -> Sequence[str]:
        """Delete the run's prefix and forget its attempts."""
        filesystem, path = fsspec.core.url_to_fs(self.store(run))
        if not filesystem.exists(path):
            return []
        if not dry_run:
            filesystem.rm(path, recursive=True)
            self._outcomes.clear()
            self._left.clear()
            self.released = True
        return [f"prefix {path}"]

    def close(self) -> None:
        """Do nothing."""

    def _place(self, run: RunContext, attempt: TaskSubmission) -> str:
        return f"{self.store(run)}/attempts/{attempt.task.id}/{attempt.attempt}"

    def _write(self, run: RunContext, submission: TaskSubmission, outcome: Outcome) -> None:
        place = self._place(run, submission)
        files = {f"wd/{name}": content for name, content in outcome.files.items()}
        files |= {"stdout.txt": outcome.stdout, "stderr.txt": outcome.stderr}
        for name, content in files.items():
            filesystem, path = fsspec.core.url_to_fs(f"{place}/{name}")
            filesystem.pipe_file(path, content)

    def _say(self, key: tuple[str, int], state: TaskState) -> None:
        self._updates.append(
            TaskUpdate(task_id=key[0], attempt=key[1], state=state, started_at=self._clock.now())
        )

    def _say_end(self, key: tuple[str, int]) -> None:
        outcome = self._outcomes[key]
        reason = outcome.reason
        if reason is None and outcome.exit_code != 0:
            reason = FailureReason.EXIT_CODE
        self._updates.append(
            TaskUpdate(
                task_id=key[0],
                attempt=key[1],
                state=TaskState.FAILED if reason else TaskState.SUCCEEDED,
                reason=reason,
                exit_code=outcome.exit_code,
                detail=outcome.detail,
                retryable=outcome.retryable,
                ended_at=self._clock.now(),
            )
        )
