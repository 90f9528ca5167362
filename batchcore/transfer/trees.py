"""What an ended task left, as names that can be listed and opened: here or in a store."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import fsspec

from batchcore.errors import TransferError
from batchcore.transfer import files
from batchcore.transfer.files import FileRecord, UnsafeFile

MOST_NAMES = 1_000_000


class Tree(Protocol):
    """The files of one ended attempt."""

    def names(self) -> Sequence[str]:
        """Return every name, relative and POSIX, links and odd files included."""
        ...

    def has(self, name: str) -> bool:
        """Return whether there is anything at this name."""
        ...

    def open(self, name: str) -> BinaryIO:
        """Open a plain file; raises `UnsafeFile` for anything else."""
        ...

    def verify(self, name: str, copied: FileRecord) -> None:
        """Raise `TransferError` (transient) if a copy is not what was there."""
        ...


class LocalTree:
    """A working directory that a hostile worker may have filled."""

    def __init__(self, root: Path) -> None:
        """Name the directory; it must exist."""
        self._root = root

    def names(self) -> Sequence[str]:
        """Return every name; a link to a directory inside is walked, other links are names."""
        return self._names

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
        pending: list[tuple[str, tuple[str, ...]]] = [("", ())]
        if self._root.is_symlink():
            msg = "the working directory was replaced by a link"
            raise UnsafeFile(msg)
        seen = 0
        while pending:
            prefix, above = pending.pop()
            with os.scandir(self._root / prefix) as entries:
                for entry in entries:
                    seen += 1
                    if seen > MOST_NAMES:
                        msg = f"the working directory has over {MOST_NAMES} names"
                        raise UnsafeFile(msg)
                    name = f"{prefix}{entry.name}"
                    inner = self._directory(name, entry)
                    if inner is None or inner in above:
                        yield name
                    else:
                        pending.append((f"{name}/", (*above, inner)))

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
        return os.path.lexists(self._root / name)

    def open(self, name: str) -> BinaryIO:
        """Open a plain file inside the directory."""
        try:
            return files.open_beneath(self._root, name)
        except FileNotFoundError as exc:
            msg = f"{name!r} is a link to nothing"
            raise UnsafeFile(msg) from exc

    def verify(self, name: str, copied: FileRecord) -> None:
        """Accept the copy: it was read from the file itself."""


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

    def verify(self, name: str, copied: FileRecord) -> None:
        """Compare the length with the listing's; a cut transfer is never published."""
        size = self._listing[name]
        if size is not None and size != copied.size:
            raise TransferError(
                f"{name} arrived with {copied.size} of {size} bytes",
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
