"""What another process asks of a running driver: small files in the run directory."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from batchcore.transfer.files import TEMPORARY, write_whole


class CancelRequest(Struct, frozen=True, kw_only=True, tag="cancel"):
    """Cancel these tasks; none named means all."""

    task_ids: tuple[str, ...] = ()


def request_cancel(directory: Path, task_ids: Sequence[str]) -> None:
    """Leave a cancel request that the driver of this run finds at its next tick."""
    content = msgspec.json.encode(CancelRequest(task_ids=tuple(task_ids)))
    write_whole(directory / "requests" / f"{secrets.token_hex(8)}.json", content, mode=0o600)


def take_requests(directory: Path) -> Iterator[CancelRequest]:
    """Yield the requests that are there; each is forgotten once the caller comes back for more."""
    folder = directory / "requests"
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith(TEMPORARY):
            continue
        with suppress(msgspec.MsgspecError):
            yield msgspec.json.decode(path.read_bytes(), type=CancelRequest)
        path.unlink(missing_ok=True)


def forget_requests(directory: Path) -> None:
    """Drop the requests that are there, because what they ask for has ended."""
    for _request in take_requests(directory):
        pass
