"""The files of tasks and nodes, read where they are, also while a task writes them.

A task is not trusted: links are shown as nothing, and none is followed out of the directory.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from batchcore.transfer.files import UnsafeFile, directory_beneath, open_beneath, resolve
from batchcore_azure.emulator.allocation import Allocation
from batchcore_azure.emulator.places import task_directory
from batchcore_azure.emulator.records import FileFact, Node, Refusal, Task
from batchcore_azure.emulator.state import State


class NodeFiles:
    """Answers for the file routes from the directories of the emulated nodes."""

    def __init__(self, state: State, allocation: Allocation) -> None:
        """Keep where the nodes' directories are to be asked for."""
        self._state = state
        self._allocation = allocation

    def listing(self, owner: Task | Node, *, recursive: bool) -> list[FileFact]:
        """Return what is there now, in order of name."""
        return sorted(_walk(self._root(owner), recursive=recursive), key=_name)

    def fact(self, owner: Task | Node, name: str) -> FileFact:
        """Return one entry; raises `FileNotFoundError`."""
        root, inside = self._root(owner), self._inside(owner, name)
        return _fact(name.rstrip("/"), os.lstat(root / inside))

    def read(self, owner: Task | Node, name: str, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to, but without, `end`."""
        try:
            with open_beneath(self._root(owner), name) as stream:
                stream.seek(start)
                return stream.read(max(0, end - start))
        except UnsafeFile as error:
            raise FileNotFoundError(name) from error

    def delete(self, owner: Task | Node, name: str, *, recursive: bool) -> None:
        """Delete one file, or a directory with all below it."""
        target = self._root(owner) / self._inside(owner, name)
        if not target.is_dir():
            target.unlink()
        elif recursive:
            shutil.rmtree(target)
        else:
            raise Refusal(
                409, "OperationInvalidForCurrentState", "The directory is deleted recursively only."
            )

    def _inside(self, owner: Task | Node, name: str) -> str:
        try:
            return resolve(self._root(owner), name)
        except UnsafeFile as error:
            raise FileNotFoundError(name) from error

    def _root(self, owner: Task | Node) -> Path:
        """Return the owner's directory; raises `Refusal` where its node is gone, or never was."""
        with self._state.changed:
            if isinstance(owner, Node):
                machine = self._allocation.machine(owner.id)
                if machine is None:
                    raise Refusal(409, "OperationInvalidForCurrentState", "The node has no files.")
                return machine.place.root
            info = owner.body.get("nodeInfo")
            if info is None:
                raise Refusal(409, "OperationInvalidForCurrentState", "The task has not run yet.")
            machine = self._allocation.machine(str(info["nodeId"]))
        if machine is not None:
            root = machine.place.root / task_directory(owner.job_id, owner.id)
            if root.is_dir():
                return root
        raise Refusal(
            409, "TaskFilesUnavailable", "The files of the task are not available any more."
        )


def _walk(root: Path, *, recursive: bool) -> Iterator[FileFact]:
    pending = [""]
    while pending:
        prefix = pending.pop()
        # What a task removes in this moment, or makes a link, is not there.
        with (
            suppress(OSError),
            directory_beneath(root, prefix) as directory,
            os.scandir(directory) as entries,
        ):
            for entry in entries:
                with suppress(OSError):
                    fact = _fact(
                        f"{prefix}/{entry.name}".lstrip("/"), entry.stat(follow_symlinks=False)
                    )
                    if not entry.is_symlink():
                        yield fact
                    if fact.is_directory and recursive:
                        pending.append(fact.name)


def _fact(name: str, status: os.stat_result) -> FileFact:
    return FileFact(
        name=name,
        is_directory=stat.S_ISDIR(status.st_mode),
        size=0 if stat.S_ISDIR(status.st_mode) else status.st_size,
        modified=datetime.fromtimestamp(status.st_mtime, UTC),
        mode=stat.S_IMODE(status.st_mode),
    )


def _name(fact: FileFact) -> str:
    return fact.name
