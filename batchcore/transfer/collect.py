"""Reading what an ended task left: choose by pattern, fetch, verify, publish by rename."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

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
    done: dict[str, Collected] = {}
    refusals: list[Refused] = []
    for output in outputs:
        if not _is_due(output, ended):
            continue
        try:
            found = _choose(output, tree)
            for path, to in found:
                if _is_new(path, to, done):
                    place = incoming / str(len(done))
                    done[paths.folded(to)] = _fetch_one(tree, path, to, place)
        except UnsafeFile as exc:
            refusals.append(Refused(FailureReason.OUTPUT_UNSAFE, str(exc)))
            continue
        if not found and output.required and ended is TaskState.SUCCEEDED:
            detail = _missing(output, tree.names())
            refusals.append(Refused(FailureReason.OUTPUT_MISSING, detail))
    return Fetched(incoming, tuple(done.values()), refusals[0] if refusals else None)


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
            os.replace(fetched.incoming / str(number), place)
        except OSError as exc:
            raise files.write_error(place, exc) from exc
        crash.reach("collect.published")
    discard(fetched)


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
    with suppress(UnsafeFile, FileNotFoundError):
        if local is not None:
            tree.open(name).close()
            if not local.is_symlink():
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(local, target)
            return
        with tree.open(name) as stream, files.whole_file(target) as copy:
            files.copy(stream, copy)


def _is_due(output: PlannedOutput, ended: TaskState) -> bool:
    due = {"success": ended is TaskState.SUCCEEDED, "failure": ended is TaskState.FAILED}
    return due.get(output.when, True)


def _choose(output: PlannedOutput, tree: Tree) -> list[tuple[str, str]]:
    """Return (name in the task, place below the target) of the files an output names."""
    if not output.is_pattern:
        return [(output.path, output.to)] if tree.has(output.path) else []
    fixed = paths.fixed_part(output.path)
    found = []
    for name in tree.names():
        if paths.matches(output.path, name):
            inner = name[len(fixed) + 1 :] if fixed else name
            found.append((name, f"{output.to}/{_safe(inner)}"))
    return found


def _is_new(path: str, to: str, done: dict[str, Collected]) -> bool:
    """Return whether a file is still to be fetched; two files for one place are refused."""
    other = done.get(paths.folded(to))
    if other is not None and other.path != path:
        msg = f"{path!r} and {other.path!r} both land at {to!r}"
        raise UnsafeFile(msg)
    return other is None


def _safe(name: str) -> str:
    try:
        return paths.safe_path(name, "output")
    except JobError as exc:
        raise UnsafeFile(exc.reason) from exc


def _fetch_one(tree: Tree, path: str, to: str, place: Path) -> Collected:
    with tree.open(path) as stream, files.whole_file(place) as copy:
        record = files.copy(stream, copy)
        tree.verify(path, record)
    crash.reach("collect.copied")
    return Collected(path, to, record.size, record.sha256)


def _missing(output: PlannedOutput, names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{output.path!r} was not written; the task left {shown or 'no file'}{more}"
