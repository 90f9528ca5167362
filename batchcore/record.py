"""The run directory and its SQLite record.

``job.json`` is written once, whole, before anything else happens: the plan, the ids, a checksum.
``run.db`` says how far the run is; it has one writer, held to that by a file lock, and any number
of readers. It is a cache: a damaged one is set aside and built again from ``job.json``, and the
backend, which is asked about every attempt again, is the truth.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock, Timeout
from msgspec import Struct

from batchcore import crash
from batchcore.errors import BackendError, Conflict, NotFound
from batchcore.model import Job
from batchcore.plan import Plan
from batchcore.states import FailureReason, TaskState
from batchcore.transfer.collect import Collected
from batchcore.transfer.files import FileRecord, sync_directory, write_error, write_whole

SCHEMA = "batchcore.run-record/1"

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE tasks (
  position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, state TEXT NOT NULL,
  attempt INTEGER NOT NULL, reason TEXT, exit_code INTEGER, detail TEXT NOT NULL,
  native TEXT NOT NULL, node TEXT NOT NULL, retries INTEGER NOT NULL,
  interruptions INTEGER NOT NULL, canceling INTEGER NOT NULL,
  submitted_at REAL, started_at REAL, ended_at REAL);
CREATE TABLE attempts (
  task TEXT NOT NULL, attempt INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT,
  exit_code INTEGER, detail TEXT NOT NULL, native TEXT NOT NULL, node TEXT NOT NULL,
  started_at REAL, ended_at REAL, PRIMARY KEY (task, attempt)) WITHOUT ROWID;
CREATE TABLE outputs (
  task TEXT NOT NULL, path TEXT NOT NULL, place TEXT NOT NULL PRIMARY KEY, target TEXT NOT NULL,
  size INTEGER NOT NULL, sha256 TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX outputs_by_task ON outputs (task);
CREATE TABLE staged (
  key TEXT PRIMARY KEY, size INTEGER NOT NULL, sha256 TEXT NOT NULL) WITHOUT ROWID;
"""


class Header(Struct, frozen=True, kw_only=True):
    """What ``job.json`` holds: everything that never changes about a run.

    `overrides` are the ``--set`` items of the command that made it, so that later commands speak
    to the same place; a credential cannot be among them.
    """

    run_id: str
    backend: str
    created_at: float
    version: str
    spec_hash: str
    job: Job
    plan: Plan
    fingerprint: dict[str, str] = {}
    overrides: tuple[str, ...] = ()


class TaskRow(Struct, kw_only=True):
    """How far one task is; times are seconds since the epoch.

    `retries` and `interruptions` count the attempts that each budget has paid for. `canceling`
    is the flag of a cancel request, not a state.
    """

    position: int
    id: str
    state: TaskState = TaskState.PENDING
    attempt: int = 0
    reason: FailureReason | None = None
    exit_code: int | None = None
    detail: str = ""
    native: str = ""
    node: str = ""
    retries: int = 0
    interruptions: int = 0
    canceling: bool = False
    submitted_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None


_COLUMNS = TaskRow.__struct_fields__
_SAVE = f"INSERT OR REPLACE INTO tasks ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"


class Record:
    """An open run directory; `create` or `resume` it to write, `read` it to look."""

    def __init__(self, directory: Path, header: Header, database: sqlite3.Connection) -> None:
        """Use the class methods instead."""
        self.directory = directory
        self.header = header
        self._database = database
        self._lock: FileLock | None = None

    @classmethod
    def create(cls, directory: Path, header: Header) -> Record:
        """Make the directory, write ``job.json`` and an empty record, and hold the lock.

        On return the plan is on disk. Raises `Conflict` where another controller holds the
        directory, `EnvironmentNotReady` where it cannot be written.
        """
        try:
            directory.mkdir(parents=True, mode=0o700, exist_ok=True)
        except OSError as exc:
            raise write_error(directory, exc) from exc
        lock = _acquire(directory)
        if not (directory / "job.json").exists():
            _write_header(directory, header)
            crash.reach("record.created")
        record = cls(directory, read_header(directory), _open_database(directory, header))
        record._lock = lock
        return record

    @classmethod
    def resume(cls, directory: Path) -> Record:
        """Open an existing run for writing; raises `NotFound`, or `Conflict` where it is held."""
        header = read_header(directory)
        lock = _acquire(directory)
        record = cls(directory, header, _open_database(directory, header))
        record._lock = lock
        return record

    @classmethod
    def read(cls, directory: Path) -> Record:
        """Open an existing run for reading, while another process writes perhaps."""
        header = read_header(directory)
        path = directory / "run.db"
        if not path.exists():
            _open_database(directory, header).close()
        database = sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True, timeout=30)
        return cls(directory, header, database)

    @property
    def outputs_directory(self) -> Path:
        """Where the collected files are."""
        return self.directory / "outputs"

    def log_path(self, task_id: str, attempt: int, stream: str) -> Path:
        """Return where the log of an ended attempt is kept."""
        return self.directory / "logs" / task_id / str(attempt) / f"{stream}.txt"

    def rows(self) -> list[TaskRow]:
        """Return all tasks in the order of the job."""
        query = f"SELECT {', '.join(_COLUMNS)} FROM tasks ORDER BY position"  # noqa: S608 - constants
        return [
            msgspec.convert(dict(zip(_COLUMNS, row, strict=True)), TaskRow, strict=False)
            for row in self._database.execute(query)
        ]

    def counts(self) -> dict[TaskState, int]:
        """Return how many tasks are in each state."""
        rows = self._database.execute("SELECT state, count(*) FROM tasks GROUP BY state")
        return {TaskState(state): count for state, count in rows}

    def save(self, rows: Iterable[TaskRow]) -> None:
        """Write rows in one transaction."""
        with self._database:
            self._database.executemany(_SAVE, [_values(row) for row in rows])

    def save_end(self, row: TaskRow, outputs: Iterable[Collected]) -> None:
        """Write the end of an attempt and what was published of it, in one transaction."""
        with self._database:
            self._database.execute(_SAVE, _values(row))
            self._database.execute(
                "INSERT OR REPLACE INTO attempts VALUES (?,?,?,?,?,?,?,?,?,?)",
                (row.id, row.attempt, row.state, row.reason, row.exit_code, row.detail)
                + (row.native, row.node, row.started_at, row.ended_at),
            )
            self._database.execute("DELETE FROM outputs WHERE task = ?", (row.id,))
            self._database.executemany(
                "INSERT INTO outputs VALUES (?,?,?,?,?,?)",
                [(row.id, o.path, o.to.casefold(), o.to, o.size, o.sha256) for o in outputs],
            )

    def save_attempt(self, row: TaskRow) -> None:
        """Write the end of an attempt that another one will follow."""
        self.save_end(row, ())

    def attempts(self, task_id: str) -> list[dict[str, Any]]:
        """Return the ended attempts of a task, oldest first."""
        names = ("task", "attempt", "state", "reason", "exit_code", "detail", "native", "node")
        names += ("started_at", "ended_at")
        rows = self._database.execute(
            "SELECT * FROM attempts WHERE task = ? ORDER BY attempt", (task_id,)
        )
        return [dict(zip(names, row, strict=True)) for row in rows]

    def outputs(self) -> dict[str, list[Collected]]:
        """Return the published files of each task."""
        found: dict[str, list[Collected]] = {}
        rows = self._database.execute("SELECT task, path, target, size, sha256 FROM outputs")
        for task, path, target, size, sha256 in rows:
            found.setdefault(task, []).append(Collected(path, target, size, sha256))
        return found

    def owner(self, target: str) -> str | None:
        """Return the task that has published a file at this place."""
        row = self._database.execute(
            "SELECT task FROM outputs WHERE place = ?", (target.casefold(),)
        ).fetchone()
        return row[0] if row else None

    def staged(self) -> Mapping[str, FileRecord]:
        """Return what is known to be in the store."""
        rows = self._database.execute("SELECT key, size, sha256 FROM staged")
        return {key: FileRecord(size, sha256) for key, size, sha256 in rows}

    def save_staged(self, staged: Mapping[str, FileRecord]) -> None:
        """Remember what is in the store."""
        with self._database:
            self._database.executemany(
                "INSERT OR REPLACE INTO staged VALUES (?,?,?)",
                [(key, file.size, file.sha256) for key, file in staged.items()],
            )

    def forget_staged(self) -> None:
        """Forget the store, because it was released."""
        with self._database:
            self._database.execute("DELETE FROM staged")

    def meta(self, key: str) -> str:
        """Return a remembered text, empty if there is none."""
        row = self._database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row else ""

    def save_meta(self, key: str, value: str) -> None:
        """Remember a text."""
        with self._database:
            self._database.execute("INSERT OR REPLACE INTO meta VALUES (?,?)", (key, value))

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what SQLite raises into an error that says what to do."""
        try:
            yield
        except sqlite3.OperationalError as exc:
            reason = f"{self.directory / 'run.db'} cannot be written: {exc}"
            hint = "free some space and run the same command again; nothing is lost"
            raise BackendError(reason, hint=hint, code="BC7002") from exc

    def close(self) -> None:
        """Close the record and let go of the lock. Idempotent."""
        self._database.close()
        if self._lock is not None:
            self._lock.release()


def read_header(directory: Path) -> Header:
    """Return what ``job.json`` holds; raises `NotFound`, or `BackendError` if it is damaged."""
    path = directory / "job.json"
    try:
        envelope = msgspec.json.decode(path.read_bytes(), type=_Envelope)
        if hashlib.sha256(bytes(envelope.run)).hexdigest() == envelope.sha256:
            return msgspec.json.decode(bytes(envelope.run), type=Header)
        reason = "its checksum does not match"
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise NotFound(
            f"there is no run in {directory}", hint="list the runs: batchcore status"
        ) from exc
    except (msgspec.MsgspecError, OSError) as exc:
        reason = str(exc)
    raise BackendError(
        f"{path} is damaged: {reason}",
        hint="start anew with --fresh; the collected outputs stay",
        where=str(path),
        code="BC7002",
    )


class _Envelope(Struct, frozen=True, kw_only=True):
    sha256: str
    run: msgspec.Raw
    schema: str = SCHEMA


def _write_header(directory: Path, header: Header) -> None:
    run = msgspec.json.encode(header)
    envelope = _Envelope(sha256=hashlib.sha256(run).hexdigest(), run=msgspec.Raw(run))
    write_whole(directory / "job.json", msgspec.json.encode(envelope), mode=0o600)
    sync_directory(directory)


def _open_database(directory: Path, header: Header) -> sqlite3.Connection:
    """Open the record for writing; make it where there is none, set a damaged one aside."""
    path = directory / "run.db"
    try:
        database = _connect(path)
        if database.execute("PRAGMA quick_check").fetchone() != ("ok",):
            msg = "quick_check failed"
            raise sqlite3.DatabaseError(msg)
        if not database.execute("SELECT name FROM sqlite_master").fetchone():
            _fill_database(database, header)
        for table in ("meta", "tasks", "attempts", "outputs", "staged"):
            database.execute(f"SELECT 1 FROM {table} LIMIT 1")  # noqa: S608 - constants
    except sqlite3.OperationalError as exc:
        raise write_error(path, OSError(0, str(exc))) from exc
    except sqlite3.DatabaseError:
        for name in ("run.db", "run.db-wal", "run.db-shm"):
            with suppress(FileNotFoundError):
                os.replace(directory / name, directory / f"{name}.corrupt-{int(time.time())}")
        database = _connect(path)
        _fill_database(database, header)
        database.execute("INSERT OR REPLACE INTO meta VALUES ('rebuilt', '1')")
        database.commit()
    return database


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=30, check_same_thread=False)
    path.chmod(0o600)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    return database


def _fill_database(database: sqlite3.Connection, header: Header) -> None:
    with database:
        database.executescript("BEGIN;" + _TABLES)
        rows = (TaskRow(position=n, id=task.id) for n, task in enumerate(header.plan.tasks))
        database.executemany(_SAVE, map(_values, rows))
        database.execute("INSERT INTO meta VALUES ('schema', ?)", (SCHEMA,))


def _values(row: TaskRow) -> tuple[object, ...]:
    return tuple(getattr(row, name) for name in _COLUMNS)


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _acquire(directory: Path) -> FileLock:
    """Become the one writer, or say who is."""
    lock = FileLock(directory / "lock", mode=0o600)
    owner = directory / "lock.json"
    try:
        lock.acquire(timeout=0)
    except Timeout as exc:
        who: dict[str, Any] = {}
        with suppress(OSError, msgspec.MsgspecError):
            who = msgspec.json.decode(owner.read_bytes())
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
    write_whole(owner, msgspec.json.encode(content), mode=0o600)
    return lock
