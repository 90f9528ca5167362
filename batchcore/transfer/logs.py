"""Keeping the logs of an ended attempt, which its worker could have replaced by anything."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from batchcore.backend import LogChunk, Stream
from batchcore.transfer import files, stores
from batchcore.transfer.files import UnsafeFile, open_beneath
from batchcore.transfer.stage import local_path
from batchcore.transfer.stores import Absent, ObjectInfo, Opener, open_url

_SPECIAL_OR_EXECUTABLE = 0o7111
_CHUNK = 1 << 20


def log_chunk(directory: Path, stream: Stream, offset: int, *, ended: bool) -> LogChunk:
    """Return what `Backend.read_log` owes of ``<stream>.txt`` in a directory on this machine.

    At most 1 MiB. `ended` says that the attempt has ended and the file will not grow. Where there
    is none, or the worker has put something else in its place, it is empty.
    """
    try:
        with open_beneath(directory, f"{stream}.txt") as file:
            file.seek(offset)
            data = file.read(_CHUNK)
    except (FileNotFoundError, UnsafeFile):
        data = b""
    return LogChunk(data, ended and len(data) < _CHUNK)


def keep_log(source: str | None, target: Path, opener: Opener = open_url) -> str:
    """Move or copy a log to its place; return why it is lost, an empty text where it is not.

    A local log is renamed where it is a plain file; a worker that has put a link or a pipe in its
    place, or closed it, loses it. One that is absent leaves nothing, and is no loss. Raises
    `TransferError` (transient) where a store cannot be reached, and the error of a target that
    cannot be written.
    """
    if source is None:
        return ""
    local = local_path(source)
    try:
        if local is None:
            _fetch(source, target, opener)
        else:
            _take(local, target)
    except (FileNotFoundError, Absent):
        return ""
    except UnsafeFile as exc:
        return str(exc)
    return ""


def _fetch(source: str, target: Path, opener: Opener) -> None:
    """Fetch a log by its name alone: what lies beside it may be too much to list."""
    filesystem, path = stores.opened(opener, source)
    files.remove_unfinished(target.parent)
    with files.whole_file(target) as copy:
        stores.get(filesystem, path, copy, ObjectInfo())


def _take(log: Path, target: Path) -> None:
    if log.is_symlink():
        msg = f"{log.name!r} is a link"
        raise UnsafeFile(msg)
    with files.open_beneath(log.parent, log.name) as stream:
        if not _renamed(log, stream, target):
            files.remove_unfinished(target.parent)
            with files.whole_file(target) as copy:
                files.copy(stream, copy, str(log), os.fstat(stream.fileno()).st_size)


def _renamed(log: Path, opened: BinaryIO, target: Path) -> bool:
    """Rename the file that was opened; False where it must be copied from there instead.

    A worker may have closed its directory to us, or something that outlived it may have put
    another file in the place of the log. A copy has no other name, and cannot be executed.
    """
    status = os.fstat(opened.fileno())
    if status.st_nlink > 1 or status.st_mode & _SPECIAL_OR_EXECUTABLE:
        return False
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        log.replace(target)
        if os.path.samestat(target.lstat(), os.fstat(opened.fileno())):
            return True
        target.unlink()
    except OSError:
        return False
    return False
