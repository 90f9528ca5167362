"""Objects in a store: how a URL is opened, and fetching one object whole and verified."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
from msgspec import Struct

from batchcore.errors import BatchcoreError, TransferError
from batchcore.transfer import files
from batchcore.transfer.files import FileRecord

Opener = Callable[[str], tuple[Any, str]]
"""From a URL to its fsspec file system and the path in it; may be called in several threads."""

AT_ONCE = 16
_FULL = {errno.ENOSPC, errno.EDQUOT}


class ObjectInfo(Struct, frozen=True):
    """What a store says of an object: its size in bytes and its MD5, None where it does not."""

    size: int | None = None
    md5: bytes | None = None

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> ObjectInfo:
        """Read an entry of fsspec's ``info`` or ``find``; an MD5 is 16 bytes at ``content_md5``."""
        md5 = info.get("content_md5")
        return cls(info.get("size"), bytes(md5) if md5 else None)


class Altered(Exception):
    """What arrived is not what the store says it has."""


class Absent(Exception):
    """There is no such object."""


def open_url(url: str) -> tuple[Any, str]:
    """Return what fsspec and its own settings make of a URL; nothing is cached of a listing."""
    filesystem, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    return filesystem, path


def opened(opener: Opener, url: str) -> tuple[Any, str]:
    """Return what `opener` makes of a URL; raises `TransferError` (transient) where it cannot."""
    try:
        return opener(url)
    except Exception as exc:  # any error class: each fsspec implementation has its own
        raise unreachable(url, exc) from exc


def look(filesystem: Any, path: str) -> ObjectInfo | None:
    """Return what the store says of an object, None where there is none, without a listing."""
    try:
        info = filesystem.info(path)
    except FileNotFoundError:
        return None
    except Exception as exc:  # any error class: each fsspec implementation has its own
        raise unreachable(path, exc) from exc
    return ObjectInfo.of(info) if info["type"] == "file" else None


def get(filesystem: Any, path: str, target: BinaryIO, told: ObjectInfo) -> FileRecord:
    """Fetch an object into an open file and return what arrived, read back from the disk.

    Raises `Altered` where that is not what was `told` of it, `Absent`, `OSError` where the disk is
    full, and `TransferError` (transient) where the store cannot be read.
    """
    files.require_room(target, told.size or 0, None, path)
    try:
        filesystem.get_file(path, target.name)
    except FileNotFoundError as exc:
        msg = f"{path} is not in the store any more"
        raise Absent(msg) from exc
    except Exception as exc:  # any error class: each fsspec implementation has its own
        if isinstance(exc, OSError) and exc.errno in _FULL:
            raise
        raise unreachable(path, exc) from exc
    return _verified(Path(target.name), path, told)


def _verified(copy: Path, name: str, told: ObjectInfo) -> FileRecord:
    md5 = hashlib.md5(usedforsecurity=False) if told.md5 else None
    digest = hashlib.sha256()
    size = 0
    with copy.open("rb", buffering=0) as stream:
        while chunk := stream.read(files.CHUNK):
            size += len(chunk)
            digest.update(chunk)
            if md5:
                md5.update(chunk)
    if told.size not in {None, size}:
        msg = f"{name} arrived with {size} of {told.size} bytes"
        raise Altered(msg)
    if md5 and md5.digest() != told.md5:
        msg = f"{name} arrived with other bytes than the store has"
        raise Altered(msg)
    return FileRecord(size, digest.hexdigest())


def unreachable(where: str, exc: Exception) -> BatchcoreError:
    """Return the error for a store that did not answer as it should: ours, or a transient one."""
    if isinstance(exc, BatchcoreError):
        return exc
    return TransferError(
        f"the store cannot be read: {exc.__class__.__name__}: {exc}",
        hint="run the same command again; nothing is lost",
        where=where,
        transient=True,
    )


def not_as_told(where: str, what: str) -> TransferError:
    """Return the error for an object that did not arrive as the store has it, twice."""
    return TransferError(
        what, hint="run the same command again; nothing is lost", where=where, transient=True
    )
