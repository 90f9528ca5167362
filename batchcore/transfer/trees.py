"""What an ended task left, as names that can be listed and opened: here or in a store."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import fsspec
from msgspec import Struct

from batchcore import paths
from batchcore.errors import TransferError
from batchcore.transfer import files
from batchcore.transfer.files import FileRecord, UnsafeFile

MOST_NAMES = 1_000_000


class Stamp(Struct, frozen=True):
    """What tells that a file was changed: its size in bytes and its time, None where unknown."""

    size: int | None
    modified: int | None = None


class Tree(Protocol):
    """The files of one ended attempt."""

    def names(self) -> Sequence[str]:
        """Return every name, relative and POSIX, links and odd files included."""
        ...

    def closed(self) -> Mapping[str, str]:
        """Return the directories whose names could not be listed, each with the reason."""
        ...

    def has(self, name: str) -> bool:
        """Return whether there is anything at this name, also what `open` will refuse."""
        ...

    def open(self, name: str) -> BinaryIO:
        """Open a plain file; raises `UnsafeFile` for anything else."""
        ...

    def stamp(self, name: str, opened: BinaryIO) -> Stamp:
        """Return how an opened file is before it is copied."""
        ...

    def verify(self, name: str, opened: BinaryIO, before: Stamp, copied: FileRecord) -> None:
        """Raise if a copy is not what was there: `UnsafeFile`, or `TransferError` (transient)."""
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

    def stamp(self, name: str, opened: BinaryIO) -> Stamp:  # noqa: ARG002 - the protocol's
        """Return the file's own size and time."""
        status = os.fstat(opened.fileno())
        return Stamp(status.st_size, status.st_mtime_ns)

    def verify(self, name: str, opened: BinaryIO, before: Stamp, copied: FileRecord) -> None:
        """Refuse a file that something which outlived the task has written to meanwhile."""
        if copied.size != before.size or self.stamp(name, opened) != before:
            msg = f"{name!r} was changed while it was collected: the task left a process behind"
            raise UnsafeFile(msg)


class RemoteTree:
    """A prefix of a store, listed once."""

    def __init__(self, url: str) -> None:
        """Name the prefix; nothing below it means that nothing was left."""
        self._url = url

    @cached_property
    def _listing(self) -> dict[str, int | None]:
        try:
            self._filesystem, root = fsspec.core.url_to_fs(self._url, use_listings_cache=False)
            self._base = root.rstrip("/")
            found = self._filesystem.find(root, detail=True)
        except Exception as exc:  # any error class: each fsspec implementation has its own
            raise self._unreachable(exc) from exc
        return {name[len(self._base) + 1 :]: info.get("size") for name, info in found.items()}

    def names(self) -> Sequence[str]:
        """Return every object's name below the prefix."""
        return sorted(self._listing)

    def closed(self) -> Mapping[str, str]:
        """Return nothing: a store has no directories to close."""
        return {}

    def has(self, name: str) -> bool:
        """Return whether there is an object of this name."""
        return name in self._listing

    def open(self, name: str) -> BinaryIO:
        """Open an object for reading."""
        if not self.has(name):
            msg = f"{name!r} is not in the store"
            raise UnsafeFile(msg)
        try:
            return cast("BinaryIO", self._filesystem.open(f"{self._base}/{name}", "rb"))
        except Exception as exc:  # as above
            raise self._unreachable(exc) from exc

    def stamp(self, name: str, opened: BinaryIO) -> Stamp:  # noqa: ARG002 - the protocol's
        """Return the size in the listing."""
        return Stamp(self._listing[name])

    def verify(self, name: str, opened: BinaryIO, before: Stamp, copied: FileRecord) -> None:  # noqa: ARG002 - the protocol's
        """Compare the length with the listing's; a cut transfer is never published."""
        if before.size is not None and before.size != copied.size:
            raise TransferError(
                f"{name} arrived with {copied.size} of {before.size} bytes",
                hint="run the same command again; nothing is lost",
                where=self._url,
                transient=True,
            )

    def _unreachable(self, exc: Exception) -> TransferError:
        return TransferError(
            f"the outputs cannot be read: {exc.__class__.__name__}: {exc}",
            hint="run the same command again; nothing is lost",
            where=self._url,
            transient=True,
        )
