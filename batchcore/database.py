"""The SQLite file of a record: its tables, and how it is made, checked and set aside."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from batchcore.rundir import SCHEMA, Header
from batchcore.states import FailureReason, TaskState
from batchcore.transfer.files import write_error

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
_NAMES = ", ".join(_COLUMNS)
SAVE = f"INSERT OR REPLACE INTO tasks ({_NAMES}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - constants
_SELECT = f"SELECT {_NAMES} FROM tasks ORDER BY position"  # noqa: S608 - constants
ATTEMPT = (
    "task",
    "attempt",
    "state",
    "reason",
    "exit_code",
    "detail",
    "native",
    "node",
    "started_at",
    "ended_at",
)
_T = float | None
_READ: dict[str, Any] = {
    "meta": tuple[str, str],
    "attempts": tuple[str, int, TaskState, FailureReason | None, int | None, str, str, str, _T, _T],
    "outputs": tuple[str, str, str, str, int, str],
    "staged": tuple[str, int, str],
}
# A database that is out of reach, locked, or on a full disk is not a damaged one.
_OUT_OF_REACH = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
FAULTS = (sqlite3.DatabaseError, ValueError, msgspec.ValidationError)


def open_database(directory: Path, header: Header) -> sqlite3.Connection:
    """Open the record for writing; make it where there is none, set a damaged one aside."""
    path = directory / "run.db"
    try:
        return _connect(path, header)
    except FAULTS as exc:
        if not is_damage(exc, path):
            raise write_error(path, OSError(0, str(exc))) from exc
    for name in ("run.db", "run.db-wal", "run.db-shm"):
        with suppress(FileNotFoundError):
            (directory / name).replace(directory / f"{name}.corrupt-{time.time_ns()}")
    database = _connect(path, header)
    with database:
        database.execute("INSERT OR REPLACE INTO meta VALUES ('rebuilt', '1')")
    return database


def _connect(path: Path, header: Header) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=30, check_same_thread=False)
    try:
        path.chmod(0o600)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        if not database.execute("SELECT 1 FROM sqlite_master").fetchone():
            _fill_database(database, header)
        _check(database, header)
        with database:  # a record that cannot be written is found out now and not later
            database.execute("INSERT OR REPLACE INTO meta VALUES ('schema', ?)", (SCHEMA,))
    except BaseException:
        database.close()
        raise
    return database


def open_to_read(directory: Path, header: Header) -> sqlite3.Connection:
    """Open the record for reading; where there is none yet, one that says so is in memory.

    Raises one of `FAULTS` where it is damaged or cannot be read.
    """
    path = directory / "run.db"
    if path.exists():
        database = sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True, timeout=30)
        try:
            if database.execute("SELECT 1 FROM sqlite_master").fetchone():
                _check(database, header)
                return database
        except BaseException:
            database.close()
            raise
        database.close()
    database = sqlite3.connect(":memory:")
    _fill_database(database, header)
    return database


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _check(database: sqlite3.Connection, header: Header) -> None:
    """Raise `sqlite3.DatabaseError` or `ValueError` where a record is not one of this run.

    SQLite's own check does not see a changed letter in a value: what decides, the names and the
    states of the tasks, is looked at here.
    """
    with closing(database.execute("PRAGMA integrity_check")) as found:
        if (answer := found.fetchone()) != ("ok",):
            raise sqlite3.DatabaseError(*answer)
    if _schema(database) != _own_schema():
        msg = "its tables are not those of a record"
        raise ValueError(msg)
    if [row.id for row in task_rows(database)] != [task.id for task in header.plan.tasks]:
        msg = "its tasks are not those of the run"
        raise ValueError(msg)
    for table, columns in _READ.items():
        for row in database.execute(f"SELECT * FROM {table}"):  # noqa: S608 - constants
            msgspec.convert(row, columns)


def _schema(database: sqlite3.Connection) -> list[tuple[str, str]]:
    return database.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


@cache
def _own_schema() -> list[tuple[str, str]]:
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(_TABLES)
        return _schema(database)


def task_rows(database: sqlite3.Connection) -> list[TaskRow]:
    """Return all tasks in the order of the job."""
    return [
        msgspec.convert(dict(zip(_COLUMNS, row, strict=True)), TaskRow, strict=False)
        for row in database.execute(_SELECT)
    ]


def is_damage(exc: Exception, path: Path) -> bool:
    """Return whether an error means that the database at `path` is broken."""
    code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code == sqlite3.SQLITE_READONLY:
        return os.access(path, os.W_OK)  # its header says that it is of a later version
    return code not in _OUT_OF_REACH


def _fill_database(database: sqlite3.Connection, header: Header) -> None:
    with database:
        database.executescript("BEGIN;" + _TABLES)
        rows = (TaskRow(position=n, id=task.id) for n, task in enumerate(header.plan.tasks))
        database.executemany(SAVE, map(row_values, rows))
        database.execute("INSERT INTO meta VALUES ('schema', ?)", (SCHEMA,))


def row_values(row: TaskRow) -> tuple[object, ...]:
    """Return a task's row as the parameters of `SAVE`."""
    return tuple(getattr(row, name) for name in _COLUMNS)
