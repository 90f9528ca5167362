"""What the emulator keeps: mutable records around the bodies that a client sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn, Protocol

from msgspec import Struct

Body = dict[str, Any]


class Refusal(Exception):
    """What the service answers instead of doing as it was told.

    `status` and `code` are those of "Batch Status and Error Codes"; `details` become the
    `values` of the answer.
    """

    def __init__(self, status: int, code: str, message: str, **details: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.details = details


def refuse_property(name: str, value: object, reason: str) -> NoReturn:
    """Refuse a request for one of its properties."""
    raise Refusal(
        400,
        "InvalidPropertyValue",
        "The value provided for one of the properties in the request body is invalid.",
        PropertyName=name,
        PropertyValue=str(value),
        Reason=reason,
    )


@dataclass(eq=False, slots=True)
class Node:
    """One machine of a pool; `body` is what the service tells of it.

    `number` is its place in the order in which all that the account holds was made; also for
    pools, jobs and tasks.
    """

    pool_id: str
    body: Body
    number: int

    @property
    def id(self) -> str:
        """The node's id, `tvm-…`."""
        return str(self.body["id"])

    @property
    def state(self) -> str:
        """One of the node states of the service, as `idle`."""
        return str(self.body["state"])


@dataclass(eq=False, slots=True)
class Pool:
    """A pool, its nodes by id, and what a test ordered for it."""

    body: Body
    number: int
    nodes: dict[str, Node] = field(default_factory=dict)
    #: Errors (`{"code", "message"}`) that the next resize shall end with, instead of its nodes.
    resize_errors: list[Body] = field(default_factory=list)
    #: The exit code of every start task from now on; none means that it is run.
    start_task_exit: int | None = None

    @property
    def id(self) -> str:
        """The pool's id as its creator spelt it."""
        return str(self.body["id"])


@dataclass(eq=False, slots=True)
class Task:
    """A task; `run` is the number of its present run, so that a late answer is recognised.

    `ending` is set once it shall stop though it runs: the message of its `failureInfo`.
    """

    job_id: str
    body: Body
    number: int
    run: int = 0
    ending: str | None = None
    gone: bool = False

    @property
    def id(self) -> str:
        """The task's id as its creator spelt it."""
        return str(self.body["id"])

    @property
    def state(self) -> str:
        """`active`, `running` or `completed`."""
        return str(self.body["state"])

    @property
    def execution(self) -> Body:
        """Its `executionInfo`."""
        info: Body = self.body["executionInfo"]
        return info


@dataclass(eq=False, slots=True)
class Job:
    """A job; its tasks by lower-cased id, in the order in which they were added."""

    body: Body
    number: int
    tasks: dict[str, Task] = field(default_factory=dict)
    #: The same tasks by state, so that 10,000 of them need no search.
    in_state: dict[str, dict[str, Task]] = field(
        default_factory=lambda: {"active": {}, "running": {}, "completed": {}}
    )
    #: What it is called once it has ended, while it still ends.
    terminate_reason: str = "UserTerminate"

    @property
    def id(self) -> str:
        """The job's id as its creator spelt it."""
        return str(self.body["id"])

    @property
    def state(self) -> str:
        """One of the job states of the service, as `active`."""
        return str(self.body["state"])


class FileFact(Struct, frozen=True):
    """One file or directory of a node; `name` is relative to the task's or the node's root."""

    name: str
    is_directory: bool
    size: int
    modified: datetime
    mode: int = 0o644


class Files(Protocol):
    """The files of tasks and nodes, which the file routes answer from.

    Each call raises `FileNotFoundError` for a name that is not there, and `Refusal` where the
    files cannot be had (409 TaskFilesUnavailable: the node is gone).
    """

    def listing(self, owner: Task | Node, *, recursive: bool) -> list[FileFact]:
        """Return what is there now, in order of name."""

    def fact(self, owner: Task | Node, name: str) -> FileFact:
        """Return one entry."""

    def read(self, owner: Task | Node, name: str, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to, but without, `end`."""

    def delete(self, owner: Task | Node, name: str, *, recursive: bool) -> None:
        """Delete one file, or a directory with all below it."""


class NoFiles:
    """The files of an emulator that runs nothing: there are none."""

    def listing(self, owner: Task | Node, *, recursive: bool) -> list[FileFact]:  # noqa: ARG002 - see Files
        """Return nothing."""
        return []

    def fact(self, owner: Task | Node, name: str) -> FileFact:
        """Raise `FileNotFoundError`."""
        raise FileNotFoundError(f"{owner.id}: {name}")

    def read(self, owner: Task | Node, name: str, start: int, end: int) -> bytes:  # noqa: ARG002 - see Files
        """Raise `FileNotFoundError`."""
        raise FileNotFoundError(f"{owner.id}: {name}")

    def delete(self, owner: Task | Node, name: str, *, recursive: bool) -> None:  # noqa: ARG002 - see Files
        """Raise `FileNotFoundError`."""
        raise FileNotFoundError(f"{owner.id}: {name}")
