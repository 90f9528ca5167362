"""Writing whole files and opening files beneath a directory that cannot be trusted."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from msgspec import Struct

from batchcore import units
from batchcore.errors import BatchcoreError, EnvironmentNotReady, TransferError

CHUNK = 1 << 20
TEMPORARY = ".bc-"
_MAX_LINKS = 40
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class FileRecord(Struct, frozen=True):
    """A file that was written: its size in bytes and the SHA-256 of its content."""

    size: int
    sha256: str


class UnsafeFile(Exception):
    """A name beneath an untrusted directory is not a plain file inside it."""


@contextmanager
def whole_file(target: Path, *, mode: int = 0o644, durable: bool = False) -> Iterator[BinaryIO]:
    """Open a file for writing that appears at `target` when the block ends without an error.

    An older file at `target` stays whole until then, also if this process is killed. Only a
    `durable` file is on disk before its name is: for the others see `batchcore.record.durability`.
    Raises `TransferError` naming the path, or `EnvironmentNotReady` where it cannot be written
    at all.
    """
    temporary = target.with_name(f"{TEMPORARY}{secrets.token_hex(4)}")
    try:
        with _new_file(temporary) as stream:
            yield stream
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            if durable:
                os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException as exc:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(exc, OSError):
            raise write_error(target, exc) from exc
        raise


def remove_unfinished(directory: Path) -> None:
    """Delete the files that a killed process was writing in a directory nobody else writes to."""
    for left in directory.glob(f"{TEMPORARY}*"):
        left.unlink(missing_ok=True)


def _new_file(path: Path) -> BinaryIO:
    """Create a file, and its directory where there is none yet."""
    try:
        return path.open("xb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")


@contextmanager
def remote_file(filesystem: Any, path: str) -> Iterator[BinaryIO]:
    """Open a temporary file whose content becomes the object at `path` when the block ends well."""
    with tempfile.NamedTemporaryFile(prefix=TEMPORARY) as stream:
        yield cast("BinaryIO", stream)
        stream.flush()
        _make_parent(filesystem, path)
        filesystem.put_file(stream.name, path)


@contextmanager
def small_remote_file(filesystem: Any, path: str) -> Iterator[BinaryIO]:
    """Do the same in memory: a temporary file costs more than to send what is small."""
    with io.BytesIO() as stream:
        yield stream
        _make_parent(filesystem, path)
        filesystem.pipe_file(path, stream.getvalue())


def _make_parent(filesystem: Any, path: str) -> None:
    filesystem.makedirs(filesystem._parent(path), exist_ok=True)  # noqa: SLF001 - fsspec has no public spelling


def write_whole(target: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write `content` so that `target` is either absent, the old file, or all of the new one."""
    with whole_file(target, mode=mode) as stream:
        stream.write(content)


def write_error(target: Path, exc: OSError) -> BatchcoreError:
    """Return the error for a failed write: what happened, where, and what to do."""
    if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
        return TransferError(
            f"the disk is full: {target} cannot be written",
            hint="free some space and run the same command again; nothing is lost",
            where=str(target),
        )
    if exc.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}:
        return EnvironmentNotReady(
            f"{target} cannot be written: {exc.strerror}",
            hint="choose another directory, or change its owner",
            where=str(target),
            code="BC6001",
        )
    return TransferError(
        f"{target} cannot be written: {exc.strerror or exc}",
        hint="see whether its disk is full or ill, then run the same command again",
        where=str(target),
    )


def require_room(target: BinaryIO, size: int, source: BinaryIO | None, name: str) -> None:
    """Raise unless so many bytes fit on the disk of an open file; nothing is written yet.

    `source` is an open file of this machine, None for an object in a store.
    `UnsafeFile` where most of the source is a hole, so that its size says nothing of the work
    that is in it, else `TransferError`.
    """
    disk = os.fstatvfs(target.fileno())
    room = disk.f_bavail * disk.f_frsize
    if size <= room:
        return
    fits = f"{units.show_bytes(size)} do not fit into the {units.show_bytes(room)} that are free"
    if source is not None and _is_hollow(source, size):
        msg = f"{name!r} is mostly a hole: its {fits}"
        raise UnsafeFile(msg)
    raise TransferError(
        f"the disk is full: the {fits}, to collect {name!r}",
        hint="free some space and run the same command again; nothing is lost",
        where=str(target.name),
    )


def _is_hollow(source: BinaryIO, size: int) -> bool:
    """Return whether less than half of a file of this machine is on its disk."""
    return os.fstat(source.fileno()).st_blocks * 512 < size // 2


def copy(
    source: BinaryIO, target: BinaryIO, name: str = "the source", size: int | None = None
) -> FileRecord:
    """Copy a stream to its end and return what was copied; memory stays at one chunk.

    Where the `size` is known, a stream that goes on is left at most one chunk behind it: what is
    being written to may have no end. Raises `TransferError` (transient) where `source`, called
    `name`, cannot be read on; errors of `target` are its owner's to explain.
    """
    digest = hashlib.sha256()
    copied = 0
    while (size is None or copied <= size) and (chunk := _read(source, name)):
        digest.update(chunk)
        target.write(chunk)
        copied += len(chunk)
    return FileRecord(copied, digest.hexdigest())


def _read(source: BinaryIO, name: str) -> bytes:
    try:
        return source.read(CHUNK)
    except Exception as exc:  # any error class: each fsspec implementation has its own
        raise TransferError(
            f"{name} could not be read to its end: {exc.__class__.__name__}: {exc}",
            hint="run the same command again; nothing is lost",
            where=name,
            transient=True,
        ) from exc


def sync_directory(directory: Path) -> None:
    """Make the names in a directory survive a power cut, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def open_beneath(root: Path, relative: str) -> BinaryIO:
    """Open a regular file beneath `root`, which a hostile worker may have filled.

    A symbolic link is followed only if it ends at a regular file inside `root`; no directory on
    the way may be a link out of it, and nothing that is not a regular file is opened for reading.
    Raises `UnsafeFile` with the reason, and `FileNotFoundError`.
    """
    folder, _, name = resolve(root, relative).rpartition("/")
    try:
        with directory_beneath(root, folder) as descriptor:
            mode = os.lstat(name, dir_fd=descriptor).st_mode
            # Opened only if it is a file: to open a device is to use it, and a socket cannot be.
            file = os.open(name, _FILE, dir_fd=descriptor) if stat.S_ISREG(mode) else -1
    except FileNotFoundError:
        raise
    except OSError as exc:
        msg = f"{relative!r} cannot be opened safely: {exc.strerror}"
        raise UnsafeFile(msg) from exc
    if file >= 0 and not stat.S_ISREG(mode := os.fstat(file).st_mode):
        os.close(file)
        file = -1
    if file < 0:
        msg = f"{relative!r} is {_kind(mode)}"
        raise UnsafeFile(msg)
    return os.fdopen(file, "rb")


@contextmanager
def directory_beneath(root: Path, relative: str) -> Iterator[int]:
    """Open a directory beneath `root` for the length of a block and give its descriptor.

    `relative` is what `resolve` answers, or "" for `root`: a link that has come into it since is
    refused. Raises `OSError`.
    """
    descriptor = os.open(root, _DIRECTORY)
    try:
        for part in relative.split("/") if relative else ():
            below = os.open(part, _DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def resolve(root: Path, relative: str) -> str:
    """Return a path without links, following those that stay inside `root`.

    Raises `UnsafeFile` at the first step that leaves it. The answer is by name alone: whoever
    opens it must still refuse links, as `open_beneath` does.
    """
    pending = relative.split("/")[::-1]
    done: list[str] = []
    links = 0
    while pending:
        part = pending.pop()
        if part in {"", "."}:
            continue
        if part == "..":
            if not done:
                msg = f"{relative!r} is a link that leaves the working directory"
                raise UnsafeFile(msg)
            done.pop()
            continue
        try:
            target = os.readlink(root.joinpath(*done, part))  # noqa: PTH115 - as it is written
        except OSError as exc:
            if exc.errno not in {errno.EINVAL, errno.ENOENT, errno.ENOTDIR}:
                msg = f"{relative!r} cannot be read: {exc.strerror}"
                raise UnsafeFile(msg) from exc
            done.append(part)
            continue
        links += 1
        if target.startswith("/") or links > _MAX_LINKS:
            msg = f"{relative!r} is a link " + (
                "that leaves the working directory" if links <= _MAX_LINKS else "that never ends"
            )
            raise UnsafeFile(msg)
        pending += target.split("/")[::-1]
    if not done:
        msg = f"{relative!r} is the working directory itself"
        raise UnsafeFile(msg)
    return "/".join(done)


def _kind(mode: int) -> str:
    names = (
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISLNK, "a link"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    return next((name for test, name in names if test(mode)), "not a regular file")
