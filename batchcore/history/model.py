"""A run from its beginning to now, as plain data."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from batchcore.driver.drive import Versions
from batchcore.explain import Group, LogTail
from batchcore.states import FailureReason, TaskState

SCHEMA = "batchcore.report/1"


class AttemptHistory(Struct, frozen=True, kw_only=True, gc=False):
    """One attempt; times are seconds since the epoch, None where nobody has told them.

    It waited from `submitted_at`, when the backend was given it, which is known of a task's last
    attempt alone. Its place was prepared from `preparing_at`, and its files had been collected at
    `collected_at`: both are known of attempts that succeeded.
    """

    attempt: int
    state: TaskState
    reason: FailureReason | None = None
    exit_code: int | None = None
    detail: str = ""
    native: str = ""
    node: str = ""
    submitted_at: float | None = None
    preparing_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    collected_at: float | None = None

    @property
    def waiting(self) -> float | None:
        """Seconds from its submission to its start, never below 0."""
        return _between(self.submitted_at, self.started_at)

    @property
    def duration(self) -> float | None:
        """Seconds from its start to its end, never below 0."""
        return _between(self.started_at, self.ended_at)


class TaskHistory(Struct, frozen=True, kw_only=True, gc=False):
    """A task with all its attempts, oldest first; one that never started has none.

    `retries` and `interruptions` count the attempts that each budget has paid for since the task
    was last begun anew. `cpus` and `memory` (bytes) are what it asked for, `files` and `size`
    (bytes) what was collected of it.
    """

    id: str
    state: TaskState
    reason: FailureReason | None
    exit_code: int | None
    detail: str
    image: str
    cpus: float | None
    memory: int | None
    retries: int
    interruptions: int
    files: int
    size: int
    attempts: tuple[AttemptHistory, ...]

    @property
    def last(self) -> AttemptHistory | None:
        """The last attempt."""
        return self.attempts[-1] if self.attempts else None


class History(Struct, frozen=True, kw_only=True):
    """A run as it was at `read_at`.

    `staging` is when its resources were last brought into the store, from and to. `driven` is
    whether a process drives it. `groups` explain what has not succeeded, failures first, and
    `logs` has the end of what some of the failed tasks wrote, by their ids. `images` maps what the
    plan rests on, such as an image, to its digest. `versions` are None where the record has none.
    `name` is what a command calls the run.
    """

    run: str
    name: str
    job: str
    backend: str
    state: str
    directory: Path
    created_at: float
    read_at: float
    driven: bool
    counts: dict[str, int]
    staging: tuple[float, float] | None
    version: str
    versions: Versions | None
    images: dict[str, str]
    notes: tuple[str, ...]
    groups: tuple[Group, ...]
    logs: dict[str, LogTail]
    tasks: tuple[TaskHistory, ...]
    schema: str = SCHEMA


def _between(begun: float | None, ended: float | None) -> float | None:
    return None if begun is None or ended is None else max(ended - begun, 0.0)
