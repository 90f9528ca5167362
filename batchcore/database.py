"""The SQLite file of a record: its tables, and how it is made, checked and set aside."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, suppress
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
_DAMAGE = frozenset(
    {
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FORMAT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_SCHEMA,
    }
)


def open_database(directory: Path, header: Header) -> sqlite3.Connection:
    """Open the record for writing; make it where there is none, set a damaged one aside."""
    path = directory / "run.db"
    try:
        return _connect(path, header)
    except (sqlite3.DatabaseError, ValueError) as exc:
        if isinstance(exc, sqlite3.DatabaseError) and not is_damage(exc):
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
        check(database, header)
    except BaseException:
        database.close()
        raise
    return database


def in_memory(header: Header) -> sqlite3.Connection:
    database = sqlite3.connect(":memory:")
    _fill_database(database, header)
    return database


def check(database: sqlite3.Connection, header: Header) -> None:
    """Raise `sqlite3.DatabaseError` or `ValueError` where a record is not one of this run.

    SQLite's own check does not see a changed letter in a value: what decides, the names and the
    states of the tasks, is looked at here.
    """
    with closing(database.execute("PRAGMA integrity_check")) as found:
        if (answer := found.fetchone()) != ("ok",):
            raise sqlite3.DatabaseError(*answer)
    if [row.id for row in task_rows(database)] != [task.id for task in header.plan.tasks]:
        msg = "its tasks are not those of the run"
        raise ValueError(msg)
    for table, columns in _READ.items():
        for row in database.execute(f"SELECT * FROM {table}"):  # noqa: S608 - constants
            msgspec.convert(row, columns)


def task_rows(database: sqlite3.Connection) -> list[TaskRow]:
    return [
        msgspec.convert(dict(zip(_COLUMNS, row, strict=True)), TaskRow, strict=False)
        for row in database.execute(_SELECT)
    ]


def is_damage(exc: sqlite3.DatabaseError) -> bool:
    """Return whether a database is broken, and not only out of reach, locked or full."""
    primary = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    return primary in _DAMAGE


def _fill_database(database: sqlite3.Connection, header: Header) -> None:
    with database:
        database.executescript("BEGIN;" + _TABLES)
        rows = (TaskRow(position=n, id=task.id) for n, task in enumerate(header.plan.tasks))
        database.executemany(SAVE, map(_values, rows))
        database.execute("INSERT INTO meta VALUES ('schema', ?)", (SCHEMA,))


def values(row: TaskRow) -> tuple[object, ...]:
    return tuple(getattr(row, name) for name in _COLUMNS)


def quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
