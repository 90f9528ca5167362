"""What was published, as one JSON line a task: readable by anything, and enough to rebuild from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from batchcore.transfer.collect import Collected
from batchcore.transfer.files import write_error

NAME = "manifest.jsonl"


class Published(Struct, frozen=True, kw_only=True):
    """A task that succeeded, and the files of it that lie below ``outputs/``.

    `preparing_at` is when its place was heard to be prepared, `collected_at` when its files were in
    theirs; None where that is not known.
    """

    task: str
    attempt: int
    files: tuple[Collected, ...]
    started_at: float | None = None
    ended_at: float | None = None
    preparing_at: float | None = None
    collected_at: float | None = None


def add(directory: Path, published: Published) -> None:
    """Add a line; a later line of the same task replaces an earlier one."""
    path = directory / NAME
    try:
        with path.open("ab") as stream:
            stream.write(msgspec.json.encode(published) + b"\n")
    except OSError as exc:
        raise write_error(path, exc) from exc


def mend(directory: Path) -> None:
    """End a last line that was cut off, so that the next one does not become part of it."""
    path = directory / NAME
    with suppress(FileNotFoundError), path.open("r+b") as stream:
        if stream.seek(0, os.SEEK_END):
            stream.seek(-1, os.SEEK_END)
            if stream.read(1) != b"\n":
                stream.write(b"\n")


def read(directory: Path) -> dict[str, Published]:
    """Return the last line of each task; a line that was cut off by a crash is left out."""
    found: dict[str, Published] = {}
    with suppress(FileNotFoundError):
        for line in (directory / NAME).read_bytes().splitlines():
            with suppress(msgspec.MsgspecError, UnicodeDecodeError):
                published = msgspec.json.decode(line, type=Published)
                found[published.task] = published
    return found


def are_whole(outputs: Path, files: Sequence[Collected]) -> bool:
    """Return whether every file is in its place with its length."""
    for file in files:
        try:
            if (outputs / file.to).stat().st_size != file.size:
                return False
        except OSError:
            return False
    return True
