"""Why the tasks of a run are where they are, as plain data."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from batchcore.states import FailureReason, TaskState

SCHEMA = "batchcore.explain/1"


class AttemptEnd(Struct, frozen=True, kw_only=True):
    """How one attempt of a task ended; times are seconds since the epoch."""

    attempt: int
    state: TaskState
    reason: FailureReason | None
    exit_code: int | None
    detail: str
    node: str
    started_at: float | None
    ended_at: float | None


class LogTail(Struct, frozen=True, kw_only=True):
    """The last lines that an attempt wrote to ``stdout`` or ``stderr``."""

    attempt: int
    stream: str
    lines: tuple[str, ...]


class Advice(Struct, frozen=True):
    """What to do next, and the command for it; the command is empty where there is none."""

    what: str
    command: str = ""


class Group(Struct, frozen=True, kw_only=True):
    """Tasks that are where they are for the same `cause`, in the order of the job.

    `facts`, `attempts`, `log` and `advice` are those of the first of them.
    """

    cause: str
    state: TaskState
    reason: FailureReason | None
    exit_code: int | None
    tasks: tuple[str, ...]
    facts: tuple[str, ...] = ()
    attempts: tuple[AttemptEnd, ...] = ()
    log: LogTail | None = None
    advice: tuple[Advice, ...] = ()


class Explanation(Struct, frozen=True, kw_only=True):
    """A run as it is explained: the failed tasks first, then those that wait, then the canceled.

    `driven` is whether a process drives the run now; `notes` are what holds for the whole run.
    """

    run: str
    backend: str
    state: str
    directory: Path
    driven: bool
    counts: dict[str, int]
    notes: tuple[str, ...]
    groups: tuple[Group, ...]
    schema: str = SCHEMA
