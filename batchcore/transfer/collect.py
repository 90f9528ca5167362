"""Reading what an ended task left: choose by pattern, fetch, verify, publish by rename."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from batchcore import crash, paths
from batchcore.errors import JobError
from batchcore.plan import PlannedOutput
from batchcore.states import FailureReason, TaskState
from batchcore.transfer import files
from batchcore.transfer.files import UnsafeFile
from batchcore.transfer.stage import local_path
from batchcore.transfer.trees import LocalTree, RemoteTree, Tree

_SHOWN = 8


class Collected(Struct, frozen=True):
    """A collected file: its name in the task, its place below ``outputs/``, size and SHA-256."""

    path: str
    to: str
    size: int
    sha256: str


class Refused(Struct, frozen=True):
    """Why a task's outputs cannot be accepted."""

    reason: FailureReason
    detail: str


class Fetched(Struct, frozen=True):
    """One attempt's outputs, whole and verified but not published: they lie in `incoming`."""

    incoming: Path
    files: tuple[Collected, ...] = ()
    refused: Refused | None = None


def open_tree(url: str) -> Tree:
    """Return the tree behind a URL; a ``file:`` tree is treated as hostile."""
    local = local_path(url)
    return LocalTree(local) if local else RemoteTree(url)


def fetch(
    outputs: Sequence[PlannedOutput], ended: TaskState, tree: Tree, incoming: Path
) -> Fetched:
    """Copy the outputs that are due after this end into `incoming`, an empty directory.

    A file that must be refused is named in the result and the others are fetched all the same; a
    required output that is missing is refused only after success. Raises `TransferError` where
    the tree cannot be read now (transient), or `incoming` cannot be written.
    """
    shutil.rmtree(incoming, ignore_errors=True)
    arrived = _Arrived(incoming)
    refusals: list[Refused] = []
    for output in outputs:
        if not _is_due(output, ended):
            continue
        try:
            found = _choose(output, tree)
            if not found and output.required and ended is TaskState.SUCCEEDED:
                detail = _missing(output, tree.names())
                refusals.append(Refused(FailureReason.OUTPUT_MISSING, detail))
        except UnsafeFile as exc:
            refusals.append(Refused(FailureReason.OUTPUT_UNSAFE, str(exc)))
            continue
        for name in found:
            try:
                arrived.add(tree, name, _destination(output, name))
            except UnsafeFile as exc:
                refusals.append(Refused(FailureReason.OUTPUT_UNSAFE, str(exc)))
    return Fetched(incoming, arrived.files, refusals[0] if refusals else None)


def publish(fetched: Fetched, target: Path) -> None:
    """Rename the fetched files to their places below `target` and remove `incoming`.

    May be repeated after a crash: it is always done after a `fetch` of the same attempt.
    """
    folders: set[Path] = set()
    for number, file in enumerate(fetched.files):
        place = target / file.to
        try:
            if place.parent not in folders:
                place.parent.mkdir(parents=True, exist_ok=True)
                folders.add(place.parent)
            (fetched.incoming / str(number)).replace(place)
        except OSError as exc:
            raise files.write_error(place, exc) from exc
        crash.reach("collect.published")
    discard(fetched)


def withdraw(places: Sequence[str], target: Path) -> None:
    """Delete files that an earlier attempt published, and directories that this leaves empty."""
    for place in places:
        path = target / place
        with suppress(OSError):
            path.unlink()
            for parent in path.relative_to(target).parents[:-1]:
                (target / parent).rmdir()


def discard(fetched: Fetched) -> None:
    """Delete what was fetched and not published."""
    shutil.rmtree(fetched.incoming, ignore_errors=True)


def keep_log(source: str | None, target: Path) -> None:
    """Move or copy a log of an ended attempt to its place; an absent one leaves nothing.

    A local log is renamed where it is a plain file; a worker that has put a link or a pipe in its
    place loses it.
    """
    if source is None:
        return
    local = local_path(source)
    tree = open_tree(source.rpartition("/")[0])
    name = source.rpartition("/")[2]
    with suppress(UnsafeFile, FileNotFoundError), tree.open(name) as stream:
        if local is None or not _renamed(local, stream, target):
            with files.whole_file(target) as copy:
                files.copy(stream, copy, source)


def _renamed(log: Path, opened: BinaryIO, target: Path) -> bool:
    """Rename the file that was opened; False where it must be copied from there instead.

    A worker may have closed its directory to us, or something that outlived it may have put
    another file in the place of the log.
    """
    if log.is_symlink():
        msg = f"{log.name!r} is a link"
        raise UnsafeFile(msg)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        log.replace(target)
        if os.path.samestat(target.lstat(), os.fstat(opened.fileno())):
            return True
        target.unlink()
    except OSError:
        return False
    return False


def _is_due(output: PlannedOutput, ended: TaskState) -> bool:
    due = {"success": ended is TaskState.SUCCEEDED, "failure": ended is TaskState.FAILED}
    return due.get(output.when, True)


def _choose(output: PlannedOutput, tree: Tree) -> list[str]:
    """Return the names in the task of the files that an output names."""
    if not output.is_pattern:
        return [output.path] if tree.has(output.path) else []
    return [name for name in tree.names() if paths.matches(output.path, name)]


def _destination(output: PlannedOutput, name: str) -> str:
    """Return the place below the target of a file that an output names."""
    if not output.is_pattern:
        return output.to
    fixed = paths.fixed_part(output.path)
    inner = name[len(fixed) + 1 :] if fixed else name
    try:
        return f"{output.to}/{paths.safe_path(inner, 'output')}"
    except JobError as exc:
        raise UnsafeFile(exc.reason) from exc


class _Arrived:
    """What was fetched so far; two files for one place are refused, here and in any folder."""

    def __init__(self, incoming: Path) -> None:
        self._incoming = incoming
        self._files: dict[str, Collected] = {}
        self._directories: dict[str, str] = {}

    @property
    def files(self) -> tuple[Collected, ...]:
        return tuple(self._files.values())

    def add(self, tree: Tree, name: str, to: str) -> None:
        """Fetch and verify a file; one that an earlier output has brought is not fetched again."""
        place = paths.folded(to)
        parents = paths.above(place)
        if place in self._files and self._files[place].path == name:
            return
        others = [self._files[p].path for p in (place, *parents) if p in self._files]
        others += [self._directories[place]] if place in self._directories else []
        if others:
            msg = f"{name!r} and {others[0]!r} both land at {to!r}"
            raise UnsafeFile(msg)
        number = str(len(self._files))
        with tree.open(name) as stream, files.whole_file(self._incoming / number) as copy:
            record = files.copy(stream, copy, repr(name))
            tree.verify(name, record)
        crash.reach("collect.copied")
        self._files[place] = Collected(name, to, record.size, record.sha256)
        self._directories.update(dict.fromkeys(parents, name))


def _missing(output: PlannedOutput, names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{output.path!r} was not written; the task left {shown or 'no file'}{more}"
