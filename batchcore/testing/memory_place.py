"""Where the backend `memory` keeps a run: a prefix of fsspec's memory file system."""

from __future__ import annotations

from typing import Any

import fsspec
import msgspec

from batchcore.backend import Stream, TaskUpdate
from batchcore.testing.outcome import Outcome


class RunPlace:
    """Everything of one run."""

    def __init__(self, run_id: str) -> None:
        """Name it; creates nothing."""
        # Paths and no URLs: in a URL the names of files could mean something else.
        self._path = f"/batchcore/{run_id}"
        self._memory: Any = fsspec.filesystem("memory")

    @property
    def url(self) -> str:
        """The URL of the prefix."""
        return f"memory:/{self._path}"

    def attempt(self, task_id: str, number: int) -> AttemptPlace:
        """Return the place of one attempt."""
        return AttemptPlace(self._memory, f"{self._path}/attempts/{task_id}/{number}")

    def take(self, task_id: str) -> None:
        """Ask for the machine of a task to be taken away."""
        self._memory.pipe_file(self._taken(task_id), b"")

    def is_taken(self, task_id: str) -> bool:
        """Return whether that was asked for since the last time."""
        mark = self._taken(task_id)
        if not self._memory.isfile(mark):
            return False
        self._memory.rm_file(mark)
        return True

    def exists(self) -> bool:
        """Return whether there is anything."""
        return bool(self._memory.exists(self._path))

    def remove(self) -> None:
        """Delete all of it."""
        if self.exists():
            self._memory.rm(self._path, recursive=True)

    def _taken(self, task_id: str) -> str:
        return f"{self._path}/taken/{task_id}"


class AttemptPlace:
    """What one ended attempt left: its end, its logs, its files."""

    def __init__(self, memory: Any, path: str) -> None:
        """Name it; creates nothing."""
        self._memory = memory
        self._path = path

    @property
    def url(self) -> str:
        """The URL of the prefix."""
        return f"memory:/{self._path}"

    def keep(self, outcome: Outcome, end: TaskUpdate) -> None:
        """Store what an attempt left, its end last."""
        files = {f"wd/{name}": content for name, content in outcome.files.items()}
        files |= {"stdout.txt": outcome.stdout, "stderr.txt": outcome.stderr}
        files["end.json"] = msgspec.json.encode(end)
        for name, content in files.items():
            self._memory.pipe_file(f"{self._path}/{name}", content)

    def end(self) -> TaskUpdate | None:
        """Return the end of the attempt, None where it is not here."""
        data = self._read("end.json")
        return msgspec.json.decode(data, type=TaskUpdate) if data else None

    def log(self, stream: Stream) -> bytes:
        """Return a log of the ended attempt."""
        return self._read(f"{stream}.txt")

    def _read(self, name: str) -> bytes:
        try:
            return bytes(self._memory.cat_file(f"{self._path}/{name}"))
        except FileNotFoundError:
            return b""
