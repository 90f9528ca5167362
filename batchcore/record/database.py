"""The SQLite file of a record: its tables, and how it is made, checked and set aside."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from batchcore.record.rundir import SCHEMA
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


class TaskRow(Struct, kw_only=True, array_like=True):
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


class OutputRow(NamedTuple):
    """A published file of a task; `target` is its place below ``outputs/``."""

    task: str
    path: str
    target: str
    size: int
    sha256: str


class AttemptRow(NamedTuple):
    """An ended attempt of a task; times are seconds since the epoch."""

    task: str
    attempt: int
    state: TaskState
    reason: FailureReason | None
    exit_code: int | None
    detail: str
    native: str
    node: str
    started_at: float | None
    ended_at: float | None


_MANY = 10_000
_COLUMNS = TaskRow.__struct_fields__
_NAMES = ", ".join(_COLUMNS)
SAVE = f"INSERT OR REPLACE INTO tasks ({_NAMES}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - constants
ATTEMPT = AttemptRow._fields
_READ: dict[str, Any] = {
    "tasks": TaskRow,
    "meta": tuple[str, str],
    "attempts": AttemptRow,
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
# What SQLite says of a damaged database may be no text.
FAULTS = (sqlite3.DatabaseError, UnicodeDecodeError)
_Value = TypeVar("_Value")


def open_database(directory: Path, ids: Sequence[str]) -> sqlite3.Connection:
    """Open the record of these tasks for writing; make it where there is none.

    All of it is checked, and a damaged one is set aside.
    """
    path = directory / "run.db"
    try:
        return _connect(path, ids)
    except FAULTS as exc:
        if not is_damage(exc, path):
            raise write_error(path, OSError(_errno_of(exc), str(exc))) from exc
    for name in ("run.db", "run.db-wal", "run.db-shm"):
        with suppress(FileNotFoundError):
            (directory / name).replace(directory / f"{name}.corrupt-{time.time_ns()}")
    database = _connect(path, ids)
    with database:
        database.execute("INSERT OR REPLACE INTO meta VALUES ('rebuilt', '1')")
    return database


def _errno_of(exc: Exception) -> int:
    """Return what SQLite's error is to the system, 0 for what only SQLite knows."""
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    return errno.ENOSPC if code == sqlite3.SQLITE_FULL else 0


def _connect(path: Path, ids: Sequence[str]) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=30, check_same_thread=False)
    try:
        path.chmod(0o600)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        if database.execute("SELECT 1 FROM sqlite_master").fetchone():
            _check_tasks(database, ids)
            _check_pages(database)
            _check_values(database)
        else:
            _fill_database(database, ids)
        with database:  # a record that cannot be written is found out now and not later
            database.execute("INSERT OR REPLACE INTO meta VALUES ('schema', ?)", (SCHEMA,))
    except BaseException:
        database.close()
        raise
    return database


def open_to_read(directory: Path, ids: Sequence[str], *, whole: bool) -> sqlite3.Connection:
    """Open the record for reading; where there is none yet, one that says so is in memory.

    Its tables and the ids of its tasks are checked, and every page where the `whole` of it will
    be read; values are where they are read. Raises one of `FAULTS` where it is damaged or cannot
    be read.
    """
    path = directory / "run.db"
    if path.exists():
        database = sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True, timeout=30)
        try:
            if database.execute("SELECT 1 FROM sqlite_master").fetchone():
                _check_tasks(database, ids)
                if whole:
                    _check_pages(database)
                return database
        except BaseException:
            database.close()
            raise
        database.close()
    database = sqlite3.connect(":memory:")
    _fill_database(database, ids)
    return database


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _check_tasks(database: sqlite3.Connection, ids: Sequence[str]) -> None:
    if _schema(database) != _own_schema():
        raise sqlite3.DatabaseError("its tables are not those of a record")
    there = database.execute("SELECT id FROM tasks ORDER BY position")
    if [task_id for (task_id,) in there] != ids:
        raise sqlite3.DatabaseError("its tasks are not those of the run")


def _check_pages(database: sqlite3.Connection) -> None:
    with closing(database.execute("PRAGMA integrity_check")) as found:
        if (answer := found.fetchone()) != ("ok",):
            raise sqlite3.DatabaseError(*answer)


def _check_values(database: sqlite3.Connection) -> None:
    """Read everything: SQLite's own check does not see a changed letter in a value."""
    for table, columns in _READ.items():
        rows = database.execute(f"SELECT * FROM {table}")  # noqa: S608 - constants
        while some := rows.fetchmany(_MANY):
            converted(some, columns)


def converted(rows: Iterable[Any], kind: type[_Value]) -> list[_Value]:
    """Return rows as values of a type; raises `sqlite3.DatabaseError` where one is none."""
    try:
        return msgspec.convert(rows, list[kind], strict=False)  # type: ignore[valid-type]
    except msgspec.ValidationError as exc:
        raise sqlite3.DatabaseError(f"a value in it is wrong: {exc}") from exc


def _schema(database: sqlite3.Connection) -> list[tuple[str, str]]:
    return database.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


@cache
def _own_schema() -> list[tuple[str, str]]:
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(_TABLES)
        return _schema(database)


def task_rows(
    database: sqlite3.Connection, states: Iterable[TaskState] | None = None, limit: int = -1
) -> list[TaskRow]:
    """Return the tasks that are in one of these states, default all, in the order of the job.

    At most `limit` of them, all where it is negative.
    """
    which, wanted = _in_states(states)
    query = f"SELECT {_NAMES} FROM tasks {which} ORDER BY position LIMIT ?"  # noqa: S608 - constants
    return converted(database.execute(query, (*wanted, limit)).fetchall(), TaskRow)


def output_rows(
    database: sqlite3.Connection, states: Iterable[TaskState] | None = None
) -> list[OutputRow]:
    """Return the published files of the tasks that are in one of these states, default all."""
    which, wanted = _in_states(states)
    tasks = f"WHERE task IN (SELECT id FROM tasks {which})" if which else ""  # noqa: S608 - constants
    query = f"SELECT task, path, target, size, sha256 FROM outputs {tasks}"  # noqa: S608 - constants
    return converted(database.execute(query, wanted).fetchall(), OutputRow)


def attempt_rows(database: sqlite3.Connection, task_id: str = "") -> list[AttemptRow]:
    """Return the ended attempts of a task, default of all, oldest first."""
    which, wanted = ("WHERE task = ?", (task_id,)) if task_id else ("", ())
    query = f"SELECT * FROM attempts {which} ORDER BY task, attempt"  # noqa: S608 - constants
    return converted(database.execute(query, wanted).fetchall(), AttemptRow)


def _in_states(states: Iterable[TaskState] | None) -> tuple[str, list[str]]:
    if states is None:
        return "", []
    wanted = [state.value for state in states]
    return f"WHERE state IN ({', '.join('?' * len(wanted))})", wanted


def is_damage(exc: Exception, path: Path) -> bool:
    """Return whether an error means that the database at `path` is broken."""
    code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code == sqlite3.SQLITE_READONLY:
        return os.access(path, os.W_OK)  # its header says that it is of a later version
    return code not in _OUT_OF_REACH


def _fill_database(database: sqlite3.Connection, ids: Sequence[str]) -> None:
    with database:
        database.executescript("BEGIN;" + _TABLES)
        rows = (TaskRow(position=n, id=task_id) for n, task_id in enumerate(ids))
        database.executemany(SAVE, map(row_values, rows))
        database.execute("INSERT INTO meta VALUES ('schema', ?)", (SCHEMA,))


def row_values(row: TaskRow) -> tuple[object, ...]:
    """Return a task's row as the parameters of `SAVE`."""
    return tuple(getattr(row, name) for name in _COLUMNS)
