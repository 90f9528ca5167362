"""What an ended task left, as names that can be listed and opened: here or in a store."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Protocol

from msgspec import Struct

from batchcore import paths
from batchcore.transfer import files, stores
from batchcore.transfer.files import FileRecord, UnsafeFile
from batchcore.transfer.stores import Absent, Altered, ObjectInfo, Opener, open_url

MOST_NAMES = 1_000_000


class Stamp(Struct, frozen=True):
    """What tells that a file was changed: its size in bytes and its time in nanoseconds."""

    size: int
    modified: int


class Tree(Protocol):
    """The files of one ended attempt."""

    def names(self) -> Sequence[str]:
        """Return every name, relative and POSIX, links and odd files included."""
        ...

    def closed(self) -> Mapping[str, str]:
        """Return the directories whose names could not be listed, each with the reason."""
        ...

    def has(self, name: str) -> bool:
        """Return whether there is anything at this name, also what `copy` will refuse.

        A store that would have to be asked may leave the answer to `copy`.
        """
        ...

    def copy(self, name: str, target: BinaryIO) -> FileRecord:
        """Copy a plain file into an open one, and return what was copied once it is verified.

        Raises `UnsafeFile` for anything else and for a file that changed meanwhile, `Absent` where
        there is none, and `TransferError` (transient) where it cannot be read now. May be called
        in several threads.
        """
        ...


class LocalTree:
    """A working directory that a hostile worker may have filled."""

    def __init__(self, root: Path) -> None:
        """Name the directory; it must exist."""
        self._root = root
        self._closed: dict[str, str] = {}

    def names(self) -> Sequence[str]:
        """Return every name; a link to a directory inside is walked, other links are names."""
        return self._names

    def closed(self) -> Mapping[str, str]:
        """Return the directories without permission, and those too deep for any output."""
        self.names()
        return self._closed

    @cached_property
    def _names(self) -> list[str]:
        try:
            return sorted(self._walk())
        except OSError as exc:
            msg = f"the working directory cannot be read: {exc.strerror}"
            raise UnsafeFile(msg) from exc

    def _walk(self) -> Iterator[str]:
        # Not by recursion, and not without end: a worker may have nested or linked its
        # directories so that they run into any limit that there is.
        pending: list[tuple[str, tuple[str, ...]]] = [("", ("",))]
        if self._root.is_symlink():
            msg = "the working directory was replaced by a link"
            raise UnsafeFile(msg)
        seen = 0
        while pending:
            prefix, above = pending.pop()
            for entry in self._entries(prefix, above[-1]):
                seen += 1
                if seen > MOST_NAMES:
                    msg = f"the working directory has over {MOST_NAMES} names"
                    raise UnsafeFile(msg)
                name = f"{prefix}{entry.name}"
                inner = self._directory(name, entry)
                if inner is None or inner in above:
                    yield name
                elif len(name) > paths.MAX_PATH:
                    self._closed[name] = f"it is longer than {paths.MAX_PATH} characters"
                else:
                    pending.append((f"{name}/", (*above, inner)))

    def _entries(self, prefix: str, inner: str) -> Iterator[os.DirEntry[str]]:
        """Yield what is in a directory, opened so that it cannot be another one by now."""
        try:
            with (
                files.directory_beneath(self._root, inner) as directory,
                os.scandir(directory) as entries,
            ):
                yield from entries
        except OSError as exc:
            if not prefix:
                raise
            self._closed[prefix[:-1]] = exc.strerror or str(exc)

    def _directory(self, name: str, entry: os.DirEntry[str]) -> str | None:
        """Return the real name of a directory inside the root, None for everything else."""
        if entry.is_dir(follow_symlinks=False):
            return name
        if not entry.is_symlink():
            return None
        try:
            inner = files.resolve(self._root, name)
        except UnsafeFile:
            return None
        return inner if (self._root / inner).is_dir() else None

    def has(self, name: str) -> bool:
        """Return whether there is anything at this name, a link to nothing included."""
        try:
            files.resolve(self._root, name)
        except UnsafeFile:
            return True
        return os.path.lexists(self._root / name)

    def open(self, name: str) -> BinaryIO:
        """Open a plain file inside the directory."""
        try:
            return files.open_beneath(self._root, name)
        except FileNotFoundError as exc:
            gone = not (self._root / name).is_symlink()
            msg = f"{name!r} " + ("was removed by now" if gone else "is a link to nothing")
            raise UnsafeFile(msg) from exc

    def copy(self, name: str, target: BinaryIO) -> FileRecord:
        """Copy a plain file, unless it is changed meanwhile."""
        with self.open(name) as source:
            before = self.stamp(source)
            files.require_room(target, before.size, source, name)
            copied = files.copy(source, target, repr(name), before.size)
            self.verify(name, source, before, copied)
        return copied

    def stamp(self, opened: BinaryIO) -> Stamp:
        """Return an open file's own size and time."""
        status = os.fstat(opened.fileno())
        return Stamp(status.st_size, status.st_mtime_ns)

    def verify(self, name: str, opened: BinaryIO, before: Stamp, copied: FileRecord) -> None:
        """Refuse a file that something which outlived the task has written to meanwhile."""
        if copied.size != before.size or self.stamp(opened) != before:
            msg = f"{name!r} was changed while it was collected: the task left a process behind"
            raise UnsafeFile(msg)


class RemoteTree:
    """A prefix of a store: listed at most once, and not at all for files known by their names."""

    def __init__(self, url: str, opener: Opener = open_url) -> None:
        """Name the prefix; nothing below it means that nothing was left."""
        self._filesystem, root = stores.opened(opener, url)
        self._base = root.rstrip("/")
        self._known: dict[str, ObjectInfo] = {}

    @cached_property
    def _listing(self) -> dict[str, ObjectInfo]:
        try:
            found = self._filesystem.find(self._base, detail=True)
        except Exception as exc:  # any error class: each fsspec implementation has its own
            raise stores.unreachable(self._base, exc) from exc
        skip = len(self._base) + 1
        self._known = {name[skip:]: ObjectInfo.of(info) for name, info in found.items()}
        return self._known

    def names(self) -> Sequence[str]:
        """Return every object's name below the prefix."""
        return sorted(self._listing)

    def closed(self) -> Mapping[str, str]:
        """Return nothing: a store has no directories to close."""
        return {}

    def has(self, name: str) -> bool:
        """Return whether there is an object of this name.

        Where the file system compares what it fetches itself, nothing is asked in advance. A name
        that could be written in two ways is looked for.
        """
        if "_listing" in self.__dict__ or not name.isascii():
            return name in self._listing
        if getattr(self._filesystem, "verifies", False):
            return True
        info = stores.look(self._filesystem, self._path(name))
        if info is not None:
            self._known[name] = info
        return info is not None

    def copy(self, name: str, target: BinaryIO) -> FileRecord:
        """Fetch an object; one that does not arrive as the store has it is asked for once more.

        A cut, altered or replaced object is found by its size, and by its MD5 where the store
        tells one.
        """
        path = self._path(name)
        told = self._known.get(name)
        if told is None:
            return stores.get(self._filesystem, path, target, ObjectInfo())
        with suppress(Altered, Absent):
            return stores.get(self._filesystem, path, target, told)
        now = stores.look(self._filesystem, path)
        if now is None:
            raise stores.not_as_told(path, f"{name} is not in the store any more")
        try:
            return stores.get(self._filesystem, path, target, now)
        except (Altered, Absent) as exc:
            raise stores.not_as_told(path, str(exc)) from exc

    def _path(self, name: str) -> str:
        return f"{self._base}/{name}"
