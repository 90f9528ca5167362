"""The SQLite record of a run.

``run.db``, beside the ``job.json`` of `rundir`, says how far the run is; it has one
writer, held to that by a file lock, and any number of readers. It is a cache: a damaged one is
set aside and built again from ``job.json``, and the backend, which is asked about every attempt
again, is the truth.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock

from batchcore import crash, paths
from batchcore.errors import BackendError, Conflict
from batchcore.record.database import (
    ATTEMPT,
    FAULTS,
    SAVE,
    AttemptRow,
    TaskRow,
    attempt_rows,
    converted,
    is_damage,
    open_database,
    open_to_read,
    output_rows,
    row_values,
    task_rows,
)
from batchcore.record.rundir import (
    SCHEMA,
    Header,
    Heading,
    acquire,
    make_directory,
    read_header,
    read_heading,
    read_plan,
    write_header,
)
from batchcore.states import TaskState
from batchcore.transfer.collect import Collected
from batchcore.transfer.files import FileRecord, sync_directory

__all__ = [
    "SCHEMA",
    "Header",
    "Heading",
    "Record",
    "TaskRow",
    "read_header",
    "read_heading",
    "read_plan",
]

_STAGING = "staging"
_ENDED = frozenset({"succeeded", "failed", "canceled"})


class Record:
    """An open run directory; `create` or `resume` it to write, `read` it to look."""

    def __init__(self, directory: Path, database: sqlite3.Connection) -> None:
        """Use the class methods instead."""
        self.directory = directory
        self._database = database
        self._lock: FileLock | None = None

    @classmethod
    def create(cls, directory: Path, header: Header) -> Record:
        """Make the directory, write ``job.json`` and an empty record, and hold the lock.

        On return the plan is on disk. Where the same run is there already, what `header` says of
        the job holds: its files may be elsewhere now. Raises `Conflict` where another controller
        holds the directory or it is that of another run, `EnvironmentNotReady` where it cannot be
        written.
        """
        make_directory(directory)
        lock = acquire(directory)
        try:
            if not (directory / "job.json").exists():
                write_header(directory, header)
                crash.reach("record.created")
            else:
                header = _continued(directory, header)
            record = cls._locked(directory, header.task_ids, lock)
        except BaseException:
            lock.release()
            raise
        record.header = header
        return record

    @classmethod
    def resume(cls, directory: Path, *, background: bool = False) -> Record:
        """Open an existing run for writing; raises `NotFound`, or `Conflict` where it is held.

        For `background` see `batchcore.record.rundir.acquire`.
        """
        heading = read_heading(directory)
        lock = acquire(directory, background=background)
        try:
            return cls._locked(directory, heading.task_ids, lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def _locked(cls, directory: Path, ids: list[str], lock: FileLock) -> Record:
        record = cls(directory, open_database(directory, ids))
        record._lock = lock
        return record

    @classmethod
    def read(cls, directory: Path, heading: Heading | None = None, *, whole: bool = True) -> Record:
        """Open an existing run for reading, while another process writes perhaps.

        `heading` is what was read of ``job.json`` before. A record that is not read as a `whole`
        is not checked as one. Writes nothing: where there is no record yet, every task is
        pending. Raises `NotFound`, or `BackendError` where the record is damaged, which the next
        writer mends.
        """
        ids = (heading or read_heading(directory)).task_ids
        try:
            return cls(directory, open_to_read(directory, ids, whole=whole))
        except FAULTS as exc:
            path = directory / "run.db"
            raise BackendError(
                f"{path} cannot be read: {exc}",
                hint="run the same command again: a damaged record is built anew",
                where=str(path),
                code="BC7002",
            ) from exc

    @cached_property
    def header(self) -> Header:
        """All that ``job.json`` holds; read when it is first asked for."""
        return read_header(self.directory)

    @property
    def has_ended(self) -> bool:
        """Whether a controller has driven the run to its end."""
        return self.meta("state") in _ENDED

    @property
    def outputs_directory(self) -> Path:
        """Where the collected files are."""
        return self.directory / "outputs"

    def log_path(self, task_id: str, attempt: int, stream: str) -> Path:
        """Return where the log of an ended attempt is kept."""
        return self.directory / "logs" / task_id / str(attempt) / f"{stream}.txt"

    def rows(self, states: Iterable[TaskState] | None = None, limit: int = -1) -> list[TaskRow]:
        """Return the tasks that are in one of these states, default all, in the order of the job.

        At most `limit` of them, all where it is negative.
        """
        return task_rows(self._database, states, limit)

    def counts(self) -> dict[TaskState, int]:
        """Return how many tasks are in each state."""
        rows = self._database.execute("SELECT state, count(*) FROM tasks GROUP BY state")
        return dict(converted(rows.fetchall(), tuple[TaskState, int]))

    def save(self, rows: Iterable[TaskRow]) -> None:
        """Write rows in one transaction."""
        with self._database:
            self._database.executemany(SAVE, [row_values(row) for row in rows])

    def save_again(self, rows: Iterable[TaskRow]) -> None:
        """Write rows that get new attempts, and that the run has not ended, in one transaction."""
        with self._database:
            self._database.executemany(SAVE, [row_values(row) for row in rows])
            self._database.execute("INSERT OR REPLACE INTO meta VALUES ('state', 'running')")

    def save_end(self, row: TaskRow, outputs: Iterable[Collected]) -> None:
        """Write the end of a task and what was published of it, in one transaction."""
        with self._database:
            self._database.execute(SAVE, row_values(row))
            self._save_attempt(row)
            self._database.execute("DELETE FROM outputs WHERE task = ?", (row.id,))
            self._database.executemany(
                "INSERT INTO outputs VALUES (?,?,?,?,?,?)",
                [(row.id, o.path, paths.folded(o.to), o.to, o.size, o.sha256) for o in outputs],
            )

    def save_attempt(self, row: TaskRow) -> None:
        """Write the end of an attempt that another one will follow.

        The task's own row stays as it was: a controller that is killed before the next attempt
        is written finds the attempt still running, asks again, and decides the same.
        """
        with self._database:
            self._save_attempt(row)

    def _save_attempt(self, row: TaskRow) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO attempts VALUES (?,?,?,?,?,?,?,?,?,?)",
            (row.id, *(getattr(row, name) for name in ATTEMPT[1:])),
        )

    def attempts(self, task_id: str) -> list[dict[str, Any]]:
        """Return the ended attempts of a task, oldest first."""
        return [row._asdict() for row in attempt_rows(self._database, task_id)]

    def all_attempts(self) -> list[AttemptRow]:
        """Return the ended attempts of all tasks, those of a task together, its oldest first."""
        return attempt_rows(self._database)

    def collected(self) -> dict[str, tuple[int, int]]:
        """Return of each task that has published files how many, and their bytes."""
        rows = self._database.execute("SELECT task, count(*), sum(size) FROM outputs GROUP BY task")
        found = converted(rows.fetchall(), tuple[str, int, int])
        return {task: (count, size) for task, count, size in found}

    def outputs(self, states: Iterable[TaskState] | None = None) -> dict[str, list[Collected]]:
        """Return the published files of each task in one of these states, default of all."""
        found: dict[str, list[Collected]] = {}
        for row in output_rows(self._database, states):
            file = Collected(row.path, row.target, row.size, row.sha256)
            found.setdefault(row.task, []).append(file)
        return found

    def outputs_of(self, task_id: str) -> list[str]:
        """Return the places of a task's published files."""
        rows = self._database.execute("SELECT target FROM outputs WHERE task = ?", (task_id,))
        return [target for (target,) in rows]

    def save_unstarted(self, rows: Iterable[TaskRow]) -> None:
        """Write ends that came without an attempt; what earlier attempts left is forgotten."""
        rows = list(rows)
        self.save(rows)
        with self._database:
            ids = [(row.id,) for row in rows]
            self._database.executemany("DELETE FROM outputs WHERE task = ?", ids)

    def owner(self, target: str) -> str | None:
        """Return the task whose published file would be in the way of one at this place.

        That is a file at the place itself, at a directory above it, or below it.
        """
        place = paths.folded(target)
        parts = place.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        row = self._database.execute(
            f"SELECT task FROM outputs WHERE place IN ({', '.join('?' * len(above))}) "  # noqa: S608 - marks only
            "OR (place >= ? AND place < ?)",
            (*above, f"{place}/", f"{place}0"),  # "0" follows "/" in the order of texts
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

    @property
    def staging(self) -> tuple[float, float] | None:
        """When resources were last brought into the store, from and to; None if that is lost."""
        try:
            return msgspec.json.decode(self.meta(_STAGING), type=tuple[float, float])
        except msgspec.MsgspecError:
            return None

    def save_staging(self, begun: float, ended: float) -> None:
        """Remember when resources were brought into the store."""
        self.save_meta(_STAGING, msgspec.json.encode((begun, ended)).decode())

    @property
    def store(self) -> str:
        """The URL of the store that has a copy of ``job.json``; empty if there is none."""
        return self.meta("store")

    def save_store(self, url: str) -> None:
        """Remember which store has a copy of ``job.json``."""
        self.save_meta("store", url)

    @property
    def is_attached(self) -> bool:
        """Whether another machine began the run, and its backend may have more than is known."""
        return self.meta("attached") != ""

    def save_attached(self) -> None:
        """Remember that another machine began the run."""
        self.save_meta("attached", "yes")

    def settle(self) -> None:
        """Bring the record itself to disk, and forget the store, which is released next."""
        with self._database:
            self._database.execute("DELETE FROM staged")
            self._database.execute("DELETE FROM meta WHERE key = 'store'")
        self._database.execute("PRAGMA wal_checkpoint(FULL)")
        for directory in (self.outputs_directory, self.directory):
            sync_directory(directory)
        with suppress(OSError):
            (self.directory / "incoming").rmdir()

    @property
    def unsynced(self) -> str:
        """The boot in which files were published that may not be on disk; empty if they are."""
        return self.meta("unsynced")

    def published_paths(self) -> list[Path]:
        """Return every published file of the record, and the manifest."""
        rows = self._database.execute("SELECT target FROM outputs")
        outputs = self.outputs_directory
        return [*(outputs / target for (target,) in rows), self.directory / "manifest.jsonl"]

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
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise
        except sqlite3.DatabaseError as exc:
            path = self.directory / "run.db"
            damaged = is_damage(exc, path)
            state = "is damaged" if damaged else "cannot be written"
            hint = "" if damaged else "free some space and "
            raise BackendError(
                f"{path} {state}: {exc}",
                hint=f"{hint}run the same command again; nothing is lost",
                where=str(path),
                code="BC7002",
            ) from exc

    def close(self) -> None:
        """Close the record and let go of the lock. Idempotent."""
        self._database.close()
        if self._lock is not None:
            self._lock.release()


def _continued(directory: Path, header: Header) -> Header:
    """Return a header with what is fixed since the run was made."""
    there = read_heading(directory)
    if (there.run_id, there.spec_hash) == (header.run_id, header.spec_hash):
        fixed = msgspec.structs.asdict(there)
        return msgspec.structs.replace(header, **{**fixed, "plan": header.plan})
    raise Conflict(
        f"{directory} holds another run: {there.run_id}",
        hint="choose another directory; a run's directory is never reused",
        where=str(directory),
        code="BC9001",
    )
