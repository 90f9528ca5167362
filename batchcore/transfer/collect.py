"""Reading what an ended task left: choose by pattern, fetch, verify, publish by rename."""

from __future__ import annotations

import os
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
_LONGEST_NAME = 100
_LONGEST_DETAIL = 400


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
    """Copy the outputs that are due after this end into `incoming`, a directory for one at a time.

    What is left in it of an earlier fetch is deleted.
    A file that must be refused is named in the result and the others are fetched all the same; a
    required output that is missing is refused only after success. Raises `TransferError` where
    the tree cannot be read now (transient), or `incoming` cannot be written.
    """
    _empty(incoming)
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
            refusals.append(_unsafe(exc))
            continue
        for name in found:
            try:
                arrived.add(tree, name, _destination(output, name))
            except UnsafeFile as exc:
                refusals.append(_unsafe(exc))
    return Fetched(incoming, arrived.files, refusals[0] if refusals else None)


def publish(fetched: Fetched, target: Path) -> None:
    """Rename the fetched files to their places below `target`; `incoming` is empty then.

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
    _empty(fetched.incoming)


def _empty(directory: Path) -> None:
    """Delete what is in a directory of our own; making and removing it anew costs far more."""
    with suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            Path(entry).unlink()


def _is_due(output: PlannedOutput, ended: TaskState) -> bool:
    due = {"success": ended is TaskState.SUCCEEDED, "failure": ended is TaskState.FAILED}
    return due.get(output.when, True)


def _choose(output: PlannedOutput, tree: Tree) -> list[str]:
    """Return the names in the task of the files that an output names."""
    if output.is_pattern:
        _refuse_closed(output.path, tree)
    elif tree.has(output.path):
        return [output.path]
    elif output.path.isascii():  # such a name has one form only
        return []
    return [name for name in tree.names() if paths.matches(output.path, paths.composed(name))]


def _refuse_closed(pattern: str, tree: Tree) -> None:
    """Raise where files that a pattern names could lie in a directory that was not listed."""
    for directory, why in tree.closed().items():
        if paths.reaches(pattern, directory):
            msg = f"the directory {directory!r} cannot be listed: {why}"
            raise UnsafeFile(msg)


def _destination(output: PlannedOutput, name: str) -> str:
    """Return the place below the target of a file that an output names."""
    if not output.is_pattern:
        return output.to
    fixed = paths.fixed_part(output.path)
    try:
        safe = paths.safe_path(name, "output")
    except JobError as exc:
        raise UnsafeFile(exc.reason) from exc
    return f"{output.to}/{safe[len(fixed) + 1 :] if fixed else safe}"


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
            before = tree.stamp(name, stream)
            files.require_room(copy, before.size or 0, stream, name)
            record = files.copy(stream, copy, repr(name), before.size)
            tree.verify(name, stream, before, record)
        crash.reach("collect.copied")
        self._files[place] = Collected(name, to, record.size, record.sha256)
        self._directories.update(dict.fromkeys(parents, name))


def _unsafe(exc: UnsafeFile) -> Refused:
    """Say why, in one line: a worker may have chosen a name of thousands of characters."""
    return Refused(FailureReason.OUTPUT_UNSAFE, _shortened(str(exc), _LONGEST_DETAIL))


def _shortened(text: str, most: int) -> str:
    """Leave out what lies in the middle: a name begins a detail, and its reason ends it."""
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"


def _missing(output: PlannedOutput, names: Sequence[str]) -> str:
    shown = ", ".join(_shortened(repr(name), _LONGEST_NAME) for name in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{output.path!r} was not written; the task left {shown or 'no file'}{more}"
