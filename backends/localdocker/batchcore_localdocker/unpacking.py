"""A tar stream of a directory that a hostile worker filled, written below a directory of ours."""

from __future__ import annotations

import errno
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Self

from batchcore.errors import BackendError
from batchcore.transfer.files import CHUNK, write_error

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ZEROS = bytes(CHUNK)


def unpack(stream: IO[bytes], target: Path) -> None:
    """Write what is below the one top directory of a tar stream into `target`, which is empty.

    Everything belongs to the caller and can be read and deleted by it: files keep their
    permissions without set-id bits and without write access for others, directories likewise.
    Links are made as they are and never followed. A named pipe stands in the place of what is
    neither file, directory nor link, of a name that comes twice, and of a hard link to nothing, so
    that whoever collects it says why it is refused. Zeros become holes. Memory is bounded.

    Raises `BackendError`, transient where the stream ends too early, permanent for a name that
    is not below `target`; and what `write_error` makes of a failed write: a file that is larger
    than the free space is a full disk before any of it is written.
    """
    with (
        broken_off(f"the files for {target}"),
        tarfile.open(
            fileobj=stream,
            mode="r|",
            bufsize=CHUNK,
            tarinfo=_Entry,
            encoding="utf-8",
            errors="surrogateescape",
        ) as archive,
        _Folders(target) as folders,
    ):
        while (entry := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # else it keeps every entry
            _write(archive, entry, folders)


@contextmanager
def broken_off(what: str) -> Iterator[None]:
    """Raise `BackendError`, transient, for an archive that is not whole; `what` was sent."""
    try:
        yield
    except tarfile.TarError as exc:
        raise BackendError(
            f"Docker broke off while it sent {what}: {exc}",
            hint="the same command goes on where this one stopped",
            transient=True,
        ) from exc


class _Entry(tarfile.TarInfo):
    """A header; where there is none, `tarfile` takes any rest of a stream for its proper end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # the archive's proper end
            raise
        except tarfile.HeaderError as exc:
            raise tarfile.ReadError(f"the archive has no end ({exc})") from exc


class _Folders:
    """Opens directories below a root without following any link; keeps the last one open."""

    def __init__(self, root: Path) -> None:
        self.path = root
        self._root = os.open(root, _DIRECTORY)
        self._parts: tuple[str, ...] = ()
        self._last = os.dup(self._root)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._last)
        os.close(self._root)

    def open(self, parts: tuple[str, ...]) -> int:
        """Return the descriptor of a directory; it is good until the next call."""
        if parts != self._parts:
            found = self.walk(parts)
            os.close(self._last)
            self._parts, self._last = parts, found
        return self._last

    def walk(self, parts: tuple[str, ...]) -> int:
        """Return a new descriptor of a directory."""
        descriptor = os.dup(self._root)
        for part in parts:
            try:
                below = os.open(part, _DIRECTORY, dir_fd=descriptor)
            except OSError as exc:
                raise _not_below(self.path, "/".join(parts)) from exc
            finally:
                os.close(descriptor)
            descriptor = below
        return descriptor


def _write(archive: tarfile.TarFile, entry: tarfile.TarInfo, folders: _Folders) -> None:
    *parents, name = _parts(folders.path, entry.name) or [""]
    if not name:  # the top directory itself, or what the worker put in its place
        return
    folder = folders.open(tuple(parents))
    try:
        try:
            _make(archive, entry, name, folder, folders)
        except (FileExistsError, NotADirectoryError, FileNotFoundError):
            _refuse(name, folder)
    except OSError as exc:
        raise write_error(folders.path.joinpath(*parents, name), exc) from exc


def _make(
    archive: tarfile.TarFile, entry: tarfile.TarInfo, name: str, folder: int, folders: _Folders
) -> None:
    if entry.isdir():
        _make_directory(entry.mode, name, folder)
    elif entry.isreg():
        _make_file(archive, entry, name, folder)
    elif entry.issym():
        os.symlink(entry.linkname, name, dir_fd=folder)
    elif entry.islnk():
        _make_link(entry.linkname, name, folder, folders)
    else:
        os.mkfifo(name, 0o600, dir_fd=folder)


def _make_directory(mode: int, name: str, folder: int) -> None:
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=folder)
    descriptor = os.open(name, _DIRECTORY, dir_fd=folder)
    try:
        os.fchmod(descriptor, 0o700 | mode & 0o755)
    finally:
        os.close(descriptor)


def _make_file(archive: tarfile.TarFile, entry: tarfile.TarInfo, name: str, folder: int) -> None:
    content = archive.extractfile(entry)
    with os.fdopen(os.open(name, _NEW_FILE, 0o600, dir_fd=folder), "wb") as file:
        space = os.fstatvfs(file.fileno())
        if entry.size > space.f_bavail * space.f_frsize:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        while content and (chunk := content.read(CHUNK)):
            if chunk == _ZEROS[: len(chunk)]:
                file.seek(len(chunk), os.SEEK_CUR)
            else:
                file.write(chunk)
        file.truncate(entry.size)
        os.fchmod(file.fileno(), 0o600 | entry.mode & 0o755)


def _make_link(to: str, name: str, folder: int, folders: _Folders) -> None:
    """Make a hard link, to a symbolic link itself where that is what it names."""
    *parents, other = _parts(folders.path, to) or [""]
    beside = folders.walk(tuple(parents))
    try:
        os.link(other, name, src_dir_fd=beside, dst_dir_fd=folder, follow_symlinks=False)
    finally:
        os.close(beside)


def _refuse(name: str, folder: int) -> None:
    """Put a named pipe in the place of whatever is there; a directory is refused as it is."""
    with suppress(FileNotFoundError):
        try:
            os.unlink(name, dir_fd=folder)
        except (IsADirectoryError, PermissionError):  # the second is POSIX's word for the first
            return
    os.mkfifo(name, 0o600, dir_fd=folder)


def _parts(target: Path, name: str) -> list[str]:
    """Return the parts of a name below the top directory, which is the first of them."""
    parts = name.split("/")
    if "\0" in name or not {"", ".", ".."}.isdisjoint(parts):
        raise _not_below(target, name)
    return parts[1:]


def _not_below(target: Path, name: str) -> BackendError:
    return BackendError(f"Docker sent the file {name!r}, which does not lie below {target}")
