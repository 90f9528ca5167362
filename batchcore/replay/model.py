"""What a replay found, as plain data."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec import Struct

from batchcore.results import TaskResult

SCHEMA = "batchcore.replay/1"

Change = Literal["same", "different", "missing", "new"]
Origin = Literal["inline", "source", "store"]


class TakenFile(Struct, frozen=True):
    """A resource of the replay: its path in the task, and where its content was taken from.

    ``source`` is where it came from at first, ``store`` the run's own store, ``inline`` the plan.
    """

    path: str
    origin: Origin


class Difference(Struct, frozen=True, kw_only=True):
    """Where two files part: the first byte, from 0, and in small texts the line, from 1."""

    byte: int
    line: int | None = None
    then: str = ""
    now: str = ""


class OutputChange(Struct, frozen=True, kw_only=True):
    """A collected file then and now, by its path in the task.

    ``missing`` is one that the replay did not leave, and ``new`` one that only it left; sizes are
    bytes, and None where there was no file. `first` is None where the run's own file is gone.
    """

    path: str
    change: Change
    size_then: int | None = None
    size_now: int | None = None
    sha256_then: str = ""
    sha256_now: str = ""
    first: Difference | None = None


class LogChange(Struct, frozen=True, kw_only=True):
    """The last lines of a stream whose text is another one now."""

    stream: str
    then: tuple[str, ...]
    now: tuple[str, ...]


class Replay(Struct, frozen=True, kw_only=True):
    """How a task ended in its run (`then`) and in its replay (`now`), and what differs.

    `directory` is the run directory of the replay, and `image` the image it ran in, "" for none.
    """

    run: str
    task: str
    backend: str
    directory: Path
    image: str
    resources: tuple[TakenFile, ...]
    then: TaskResult
    now: TaskResult
    outputs: tuple[OutputChange, ...]
    logs: tuple[LogChange, ...]
    notes: tuple[str, ...] = ()
    schema: str = SCHEMA

    @property
    def ends_alike(self) -> bool:
        """Whether both ended in the same state, for the same reason, with the same exit code."""
        then, now = self.then, self.now
        return (then.state, then.reason, then.exit_code) == (now.state, now.reason, now.exit_code)

    @property
    def same(self) -> bool:
        """Whether the end and every output are the same; what was logged does not count."""
        return self.ends_alike and all(output.change == "same" for output in self.outputs)
