"""The run directory: ``job.json``, which never changes, and the lock that makes one writer.

``job.json`` is written once, whole, before anything else happens: the plan, the ids, a checksum.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Self, TypeVar

import msgspec
from filelock import FileLock, Timeout
from msgspec import Struct

from batchcore.errors import BackendError, Conflict, EnvironmentNotReady, NotFound, TransferError
from batchcore.model import Job
from batchcore.plan import Plan
from batchcore.record.durability import boot_id, is_same_boot
from batchcore.transfer.files import sync_directory, whole_file, write_error, write_whole

SCHEMA = "batchcore.run-record/1"
_WORLD_WRITABLE = 0o002
_PATIENCE = 0.2
_PATIENCE_TO_INHERIT = 10.0
_SECONDS_TO_COME = 60.0


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

    @classmethod
    def new(cls, job: Job, plan: Plan, *, run_id: str, backend: str) -> Self:
        """Return that of a run which begins now, with this version of batchcore."""
        from importlib.metadata import version

        return cls(
            run_id=run_id,
            backend=backend,
            created_at=time.time(),
            version=version("batchcore"),
            spec_hash=plan.spec_hash,
            job=job,
            plan=plan,
        )

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


class _OtherSchema(msgspec.ValidationError):
    """It was written by a version of batchcore with another form of the record."""


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


def header_of(content: bytes, where: str) -> Header:
    """Return what a ``job.json`` holds that another machine wrote and `where` has.

    Raises `EnvironmentNotReady` for one of another version, and `BackendError` if it is damaged.
    """
    try:
        return _decoded(content, Header)
    except _OtherSchema as exc:
        raise EnvironmentNotReady(
            f"{where} is of another version of batchcore: {exc}",
            hint="install the version here that began the run",
            where=where,
        ) from exc
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise BackendError(
            f"{where} is damaged: {exc}",
            hint="go on with the run on the machine that began it",
            where=where,
            code="BC7002",
        ) from exc


_Part = TypeVar("_Part", Header, Heading, _Planned)


def _decoded(content: bytes, part: type[_Part]) -> _Part:
    envelope = msgspec.json.decode(content, type=_Envelope)
    run = memoryview(envelope.run)
    if envelope.schema != SCHEMA:
        msg = f"its schema is {envelope.schema!r}, not {SCHEMA!r}"
        raise _OtherSchema(msg)
    if hashlib.sha256(run).hexdigest() != envelope.sha256:
        msg = "its checksum does not match"
        raise msgspec.ValidationError(msg)
    return msgspec.json.decode(run, type=part)


def _read(directory: Path, part: type[_Part]) -> _Part:
    path = directory / "job.json"
    try:
        return _decoded(path.read_bytes(), part)
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


class Owner(Struct, frozen=True, kw_only=True):
    """Who drives a run, as ``lock.json`` has it.

    `background`: without a terminal, for whoever comes. `coming`: it was given the run, and has
    not yet taken its lock. `boot` and `at` say when, by a clock that nobody sets.
    """

    pid: int
    host: str
    since: str = "?"
    background: bool = False
    coming: bool = False
    boot: str = ""
    at: float = 0.0


def acquire(directory: Path, *, background: bool = False) -> FileLock:
    """Become the one writer, or say who is; the lock is free as soon as its process is gone.

    Waits a moment, because who looks whether the lock is held holds it then; in the `background`
    some seconds, as who gives a run away lets go of it after that.
    """
    lock = FileLock(directory / "lock", mode=0o600)
    try:
        patience = _PATIENCE_TO_INHERIT if background else _PATIENCE
        lock.acquire(timeout=patience, poll_interval=_PATIENCE / 10)
    except Timeout as exc:
        owner = owner_of(directory)
        who = "lock.json does not say which"
        if owner:
            who = f"process {owner.pid} on {owner.host} since {owner.since}"
        raise Conflict(
            f"another controller holds this run: {who}",
            hint=f"look with: batchcore status {directory}",
            where=str(directory),
        ) from exc
    except OSError as exc:
        raise write_error(directory / "lock", exc) from exc
    try:
        name_owner(directory, os.getpid(), background=background)
    except BaseException:
        lock.release()
        raise
    return lock


def name_owner(
    directory: Path, pid: int, *, background: bool = False, coming: bool = False
) -> None:
    """Write down who drives the run; only for who holds the lock."""
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    host = socket.gethostname()
    owner = Owner(
        pid=pid,
        host=host,
        since=since,
        background=background,
        coming=coming,
        boot=boot_id(),
        at=time.monotonic(),
    )
    # It only serves a message: a disk that is full must not keep `clean` from making room.
    with suppress(TransferError):
        write_whole(directory / "lock.json", msgspec.json.encode(owner), mode=0o600)


def owner_of(directory: Path) -> Owner | None:
    """Return who drives the run or did so last; None where that is not known."""
    try:
        return msgspec.json.decode((directory / "lock.json").read_bytes(), type=Owner)
    except (OSError, msgspec.MsgspecError):
        return None


def is_driven(directory: Path) -> bool:
    """Return whether a process drives this run now, or is about to."""
    # Twice, as the one who was to come may have come between the looks.
    return _is_locked(directory) or _is_coming(directory) or _is_locked(directory)


def _is_locked(directory: Path) -> bool:
    try:
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_coming(directory: Path) -> bool:
    """Return whether somebody was given the run just now; later the number may be another's."""
    owner = owner_of(directory)
    if owner is None or not owner.coming or owner.host != socket.gethostname():
        return False
    is_recent = time.monotonic() - owner.at < _SECONDS_TO_COME
    return is_recent and is_same_boot(owner.boot, boot_id()) and _is_alive(owner.pid)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
