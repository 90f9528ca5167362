"""The run directory: ``job.json``, which never changes, and the lock that makes one writer.

``job.json`` is written once, whole, before anything else happens: the plan, the ids, a checksum.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from filelock import FileLock, Timeout
from msgspec import Struct

from batchcore.errors import BackendError, Conflict, EnvironmentNotReady, NotFound, TransferError
from batchcore.model import Job
from batchcore.plan import Plan
from batchcore.transfer.files import sync_directory, whole_file, write_error, write_whole

SCHEMA = "batchcore.run-record/1"
_WORLD_WRITABLE = 0o002


class _Facts(Struct, frozen=True, kw_only=True):
    """What a run is called and where it runs.

    `overrides` are the ``--set`` items of the command that made it, `config` and `no_config` say
    which files of settings it read, so that later commands speak to the same place; a credential
    cannot be among them.
    """

    run_id: str
    backend: str
    created_at: float
    version: str
    spec_hash: str
    fingerprint: dict[str, str] = {}
    overrides: tuple[str, ...] = ()
    config: str = ""
    no_config: bool = False


class Header(_Facts, frozen=True, kw_only=True):
    """What ``job.json`` holds: everything that never changes about a run."""

    job: Job
    plan: Plan

    @property
    def task_ids(self) -> list[str]:
        """The ids of the tasks, in the order of the job."""
        return [task.id for task in self.plan.tasks]


class _Id(Struct, frozen=True, gc=False):
    id: str


class _Ids(Struct, frozen=True):
    tasks: tuple[_Id, ...]


class Heading(_Facts, frozen=True, kw_only=True):
    """A `Header` of which the job is left out, and of the plan all but the ids.

    Of a large run it is read in a tenth of the time.
    """

    plan: _Ids

    @property
    def task_ids(self) -> list[str]:
        """The ids of the tasks, in the order of the job."""
        return [task.id for task in self.plan.tasks]


class _Planned(Struct, frozen=True):
    plan: Plan


class _Envelope(Struct, frozen=True, kw_only=True):
    sha256: str
    run: msgspec.Raw
    schema: str


def make_directory(directory: Path) -> None:
    """Make a run directory that nobody else can read, or check the one that is there.

    Raises `EnvironmentNotReady` where it cannot be made, and where another user could put files
    of theirs into it.
    """
    try:
        directory.mkdir(parents=True, mode=0o700, exist_ok=True)
        status = directory.stat()
        reason = ""
        if status.st_uid != os.geteuid():
            reason = "belongs to another user"
        elif status.st_mode & _WORLD_WRITABLE:
            reason = "can be written by everybody"
        elif not any(directory.iterdir()):
            directory.chmod(0o700)
    except OSError as exc:
        raise write_error(directory, exc) from exc
    if reason:
        raise EnvironmentNotReady(
            f"{directory} {reason}",
            hint=f"choose another directory, or type: chmod 700 {directory}",
            where=str(directory),
            code="BC6001",
        )


def write_header(directory: Path, header: Header) -> None:
    """Write ``job.json``; on return it is on disk."""
    run = msgspec.json.encode(header)
    digest = hashlib.sha256(run).hexdigest()
    # An `_Envelope`, in pieces: of a large run the text is not to be in memory twice.
    with whole_file(directory / "job.json", mode=0o600, durable=True) as stream:
        stream.write(b'{"sha256":"%b","run":' % digest.encode())
        stream.write(run)
        stream.write(b',"schema":"%b"}' % SCHEMA.encode())
    sync_directory(directory)


def read_header(directory: Path) -> Header:
    """Return what ``job.json`` holds; raises `NotFound`, or `BackendError` if it is damaged."""
    return _read(directory, Header)


def read_heading(directory: Path) -> Heading:
    """Return the light part of ``job.json``, as sure to be undamaged; raises the same."""
    return _read(directory, Heading)


def read_plan(directory: Path) -> Plan:
    """Return the plan in ``job.json``; raises the same."""
    return _read(directory, _Planned).plan


_Part = TypeVar("_Part", Header, Heading, _Planned)


def _read(directory: Path, part: type[_Part]) -> _Part:
    path = directory / "job.json"
    try:
        envelope = msgspec.json.decode(path.read_bytes(), type=_Envelope)
        run = memoryview(envelope.run)
        if envelope.schema != SCHEMA:
            reason = f"its schema is {envelope.schema!r}, not {SCHEMA!r}"
        elif hashlib.sha256(run).hexdigest() != envelope.sha256:
            reason = "its checksum does not match"
        else:
            return msgspec.json.decode(run, type=part)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise NotFound(
            f"there is no run in {directory}", hint="list the runs: batchcore status"
        ) from exc
    except PermissionError as exc:
        raise EnvironmentNotReady(
            f"{path} cannot be read: {exc.strerror}",
            hint="only the user who started a run can read it",
            where=str(path),
            code="BC6001",
        ) from exc
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as exc:
        reason = str(exc)
    raise BackendError(
        f"{path} is damaged: {reason}",
        hint="start anew with --fresh; the collected outputs stay",
        where=str(path),
        code="BC7002",
    )


def acquire(directory: Path) -> FileLock:
    """Become the one writer, or say who is; the lock is free as soon as its process is gone."""
    lock = FileLock(directory / "lock", mode=0o600)
    owner = directory / "lock.json"
    try:
        lock.acquire(timeout=0)
    except Timeout as exc:
        who: dict[str, Any] = {}
        with suppress(OSError, msgspec.MsgspecError):
            who = msgspec.json.decode(owner.read_bytes(), type=dict[str, Any])
        raise Conflict(
            f"another controller holds this run: process {who.get('pid', '?')} on "
            f"{who.get('host', '?')} since {who.get('since', '?')}",
            hint=f"look with: batchcore status {directory}",
            where=str(directory),
        ) from exc
    except OSError as exc:
        raise write_error(directory / "lock", exc) from exc
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    content = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
    try:
        # It only serves a message: a disk that is full must not keep `clean` from making room.
        with suppress(TransferError):
            write_whole(owner, msgspec.json.encode(content), mode=0o600)
    except BaseException:
        lock.release()
        raise
    return lock
