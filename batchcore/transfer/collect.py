"""Reading what an ended task left: choose by pattern, fetch, verify, publish by rename."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct

from batchcore import crash, paths
from batchcore.errors import JobError
from batchcore.plan import PlannedOutput
from batchcore.states import FailureReason, TaskState
from batchcore.transfer import files
from batchcore.transfer.files import UnsafeFile, write_error
from batchcore.transfer.stage import local_path
from batchcore.transfer.stores import Absent, Opener, open_url
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
    """One attempt's outputs, whole and verified but not published: they lie in `incoming`.

    `parts` names the file there of each of `files`.
    """

    incoming: Path
    files: tuple[Collected, ...] = ()
    refused: Refused | None = None
    parts: tuple[str, ...] = ()


class _Wanted(Struct, frozen=True):
    """A file that an output names: its name in the task, its place, the name of its copy.

    `required` says that it is a failure if it is not there.
    """

    name: str
    to: str
    part: str
    required: bool


_Step = _Wanted | Refused
Each = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
"""Calls a function with each of some things and gives the results in their order: ``map``."""


def open_tree(url: str, opener: Opener = open_url) -> Tree:
    """Return the tree behind a URL; a ``file:`` tree is treated as hostile."""
    local = local_path(url)
    return LocalTree(local) if local else RemoteTree(url, opener)


def fetch(
    outputs: Sequence[PlannedOutput],
    ended: TaskState,
    tree: Tree,
    incoming: Path,
    each: Each = map,
) -> Fetched:
    """Copy the outputs that are due after this end into `incoming`, a directory for one at a time.

    What is left in it of an earlier fetch is deleted. `each` says how many are copied at once.
    A file that must be refused is named in the result and the others are fetched all the same; a
    required output that is missing is refused only after success. Raises `TransferError` where
    the tree cannot be read now (transient), or `incoming` cannot be written.
    """
    _empty(incoming)
    steps = _Chosen(tree).steps(outputs, ended)
    copied = each(partial(_copy, tree, incoming), [s for s in steps if isinstance(s, _Wanted)])
    copies = iter(copied)
    results = [step if isinstance(step, Refused) else next(copies) for step in steps]
    arrived = [result for result in results if isinstance(result, tuple)]
    refused = next((result for result in results if isinstance(result, Refused)), None)
    return Fetched(
        incoming,
        tuple(file for file, _ in arrived),
        refused,
        tuple(part for _, part in arrived),
    )


def _copy(tree: Tree, incoming: Path, wanted: _Wanted) -> tuple[Collected, str] | Refused | None:
    try:
        with files.whole_file(incoming / wanted.part) as copy:
            record = tree.copy(wanted.name, copy)
    except UnsafeFile as exc:
        return _unsafe(exc)
    except Absent:
        return _missing(wanted.name, tree) if wanted.required else None
    crash.reach("collect.copied")
    return Collected(wanted.name, wanted.to, record.size, record.sha256), wanted.part


def publish(fetched: Fetched, target: Path) -> None:
    """Rename the fetched files to their places below `target`; `incoming` is empty then.

    May be repeated after a crash: it is always done after a `fetch` of the same attempt.
    """
    folders: set[Path] = set()
    for part, file in zip(fetched.parts, fetched.files, strict=True):
        place = target / file.to
        try:
            if place.parent not in folders:
                place.parent.mkdir(parents=True, exist_ok=True)
                folders.add(place.parent)
            (fetched.incoming / part).replace(place)
        except OSError as exc:
            raise files.write_error(place, exc) from exc
        crash.reach("collect.published")


def withdraw(places: Sequence[str], target: Path) -> None:
    """Delete files that an earlier attempt published, and directories that this leaves empty.

    Raises `TransferError` for one that cannot be deleted: it would pass for a result.
    """
    for place in places:
        path = target / place
        try:
            path.unlink(missing_ok=True)
        except NotADirectoryError:
            continue
        except OSError as exc:
            raise write_error(path, exc) from exc
        with suppress(OSError):  # not empty, or gone already
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


class _Chosen:
    """The files that outputs name; two for one place are refused, here and in any folder."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._names: dict[str, str] = {}
        self._directories: dict[str, str] = {}

    def steps(self, outputs: Sequence[PlannedOutput], ended: TaskState) -> list[_Step]:
        """Return what to copy, and what is refused before that, in the order of the outputs."""
        return [s for output in outputs if _is_due(output, ended) for s in self._of(output, ended)]

    def _of(self, output: PlannedOutput, ended: TaskState) -> Iterator[_Step]:
        try:
            found = _choose(output, self._tree)
            required = output.required and ended is TaskState.SUCCEEDED
            if required and not found:
                yield _missing(output.path, self._tree)
        except UnsafeFile as exc:
            yield _unsafe(exc)
            return
        for name in found:
            try:
                yield from self._add(name, _destination(output, name), required=required)
            except UnsafeFile as exc:
                yield _unsafe(exc)

    def _add(self, name: str, to: str, *, required: bool) -> Iterator[_Wanted]:
        """Want a file, unless an earlier output has wanted it there too."""
        place = paths.folded(to)
        parents = paths.above(place)
        if self._names.get(place) == name:
            return
        others = [self._names[p] for p in (place, *parents) if p in self._names]
        others += [self._directories[place]] if place in self._directories else []
        if others:
            msg = f"{name!r} and {others[0]!r} both land at {to!r}"
            raise UnsafeFile(msg)
        yield _Wanted(name, to, str(len(self._names)), required)
        self._names[place] = name
        self._directories.update(dict.fromkeys(parents, name))


def _unsafe(exc: UnsafeFile) -> Refused:
    """Say why, in one line: a worker may have chosen a name of thousands of characters."""
    return Refused(FailureReason.OUTPUT_UNSAFE, _shortened(str(exc), _LONGEST_DETAIL))


def _shortened(text: str, most: int) -> str:
    """Leave out what lies in the middle: a name begins a detail, and its reason ends it."""
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"


def _missing(path: str, tree: Tree) -> Refused:
    names = tree.names()
    shown = ", ".join(_shortened(repr(name), _LONGEST_NAME) for name in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    detail = f"{path!r} was not written; the task left {shown or 'no file'}{more}"
    return Refused(FailureReason.OUTPUT_MISSING, detail)
