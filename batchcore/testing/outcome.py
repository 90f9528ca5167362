"""What becomes of an attempt on the backend `memory`: said in advance, or found out by running."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct
from msgspec.structs import force_setattr

from batchcore.backend import Stream
from batchcore.errors import SettingsError
from batchcore.plan import PlannedTask
from batchcore.states import FailureReason


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

    def __post_init__(self) -> None:
        """Take a reason by its name too; raises `ValueError` for a name that is none."""
        if self.reason is not None:
            force_setattr(self, "reason", FailureReason(self.reason))


class Work(Struct, frozen=True, kw_only=True):
    """An attempt to be started: the task, and the URL of the store with its resources."""

    run_id: str
    task: PlannedTask
    attempt: int
    store: str


class Execution(Protocol):
    """Work that takes its time; `start` comes first, and nothing after the end or `close`."""

    def start(self, work: Work) -> None:
        """Begin; what goes wrong is an `Outcome` of `poll`."""
        ...

    def poll(self) -> Outcome | None:
        """Return how it ended, None while it runs; never waits."""
        ...

    def stop(self, *, kill: bool) -> None:
        """Ask it to end, or with `kill` end it; the end is seen in `poll`."""
        ...

    def log(self, stream: Stream) -> bytes:
        """Return what it has written so far."""
        ...

    def close(self) -> Outcome | None:
        """Kill what runs and give everything back; return how it ended by that, None if it goes on.

        Idempotent.
        """
        ...


Behaviour = Callable[[PlannedTask, int], Outcome | Execution]
"""From a task and the number of its attempt to what becomes of it."""


def succeed(task: PlannedTask, _attempt: int) -> Outcome:
    """Leave every output that names one file, with the task's id as content."""
    files = {o.path: task.id.encode() for o in task.outputs if not o.is_pattern}
    return Outcome(files=files)


class Scripted:
    """An `Outcome` as an execution: it comes after so many polls."""

    def __init__(self, outcome: Outcome) -> None:
        """Keep what will be told."""
        self._outcome = outcome
        self._left = outcome.polls

    def start(self, work: Work) -> None:
        """Do nothing."""

    def poll(self) -> Outcome | None:
        """Come one poll nearer to the end."""
        self._left -= 1
        return self._outcome if self._left <= 0 else None

    def stop(self, *, kill: bool) -> None:  # noqa: ARG002 - it listens to TERM
        """End at the next poll, without an exit code."""
        self._outcome, self._left = Outcome(exit_code=None), 0

    def log(self, stream: Stream) -> bytes:
        """Return the whole log from the beginning."""
        return self._outcome.stdout if stream == "stdout" else self._outcome.stderr

    def close(self) -> None:
        """Do nothing: whoever polls again goes on."""


def execution_of(made: Outcome | Execution, task_id: str) -> Execution:
    """Return what a behaviour made as an execution; refuses what is neither of the two."""
    if isinstance(made, Outcome):
        return Scripted(made)
    found: object = made
    if not hasattr(found, "start"):
        raise SettingsError(
            f"the behaviour of memory returned {type(found).__name__} for the task {task_id!r}",
            hint="return a batchcore.testing.Outcome, or what batchcore.testing.execute returns",
            where="memory.behaviour",
        )
    return made
