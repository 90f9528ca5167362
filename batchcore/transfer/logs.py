"""Keeping the logs of an ended attempt, which its worker could have replaced by anything."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, cast

import fsspec

from batchcore.errors import TransferError
from batchcore.transfer import files
from batchcore.transfer.files import UnsafeFile
from batchcore.transfer.stage import local_path

_SPECIAL_OR_EXECUTABLE = 0o7111


def keep_log(source: str | None, target: Path) -> str:
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
        with _open(source, local) as stream:
            if local is None or not _renamed(local, stream, target):
                with files.whole_file(target) as copy:
                    size = os.fstat(stream.fileno()).st_size if local else None
                    files.copy(stream, copy, source, size)
    except FileNotFoundError:
        return ""
    except UnsafeFile as exc:
        return str(exc)
    return ""


def _open(source: str, local: Path | None) -> BinaryIO:
    """Open a log by its name alone: what lies beside it may be too much to list."""
    if local is not None:
        if local.is_symlink():
            msg = f"{local.name!r} is a link"
            raise UnsafeFile(msg)
        return files.open_beneath(local.parent, local.name)
    try:
        return cast("BinaryIO", fsspec.open(source, "rb").open())
    except FileNotFoundError:
        raise
    except Exception as exc:  # any error class: each fsspec implementation has its own
        raise TransferError(
            f"a log cannot be read: {exc.__class__.__name__}: {exc}",
            hint="run the same command again; nothing is lost",
            where=source,
            transient=True,
        ) from exc


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
