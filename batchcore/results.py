"""What a run has left, as values: its files, its tasks, the whole."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from msgspec import Struct

from batchcore.errors import TransferError
from batchcore.record import TaskRow
from batchcore.states import FailureReason, TaskState
from batchcore.transfer.files import copy, whole_file

REPORT_SCHEMA = "batchcore.run/1"


class OutputFile(Struct, frozen=True, kw_only=True):
    """A collected file: its name in the task, where it is now, size in bytes, SHA-256."""

    path: str
    file: Path
    size: int
    sha256: str

    def copy_to(self, target: Path, task_id: str) -> None:
        """Copy the file of this task; the copy gets its name only once it is known to be right.

        Raises `TransferError` where the file is missing or not what the task wrote.
        """
        try:
            with self.file.open("rb") as source, whole_file(target) as copied:
                if copy(source, copied).sha256 != self.sha256:
                    raise self.wrong(task_id)
        except FileNotFoundError as exc:
            raise self.wrong(task_id) from exc

    def wrong(self, task_id: str) -> TransferError:
        """Return the error for a file that is missing or not what this task wrote."""
        return TransferError(
            f"{self.file} is missing or not what task {task_id!r} wrote",
            hint="delete it and run the same job again: that task runs once more",
            where=str(self.file),
        )


class TaskResult(Struct, frozen=True, kw_only=True):
    """How far a task is, and what it left; times are seconds since the epoch."""

    id: str
    state: TaskState
    attempt: int
    reason: FailureReason | None
    exit_code: int | None
    detail: str
    native: str
    node: str
    started_at: float | None
    ended_at: float | None
    outputs: tuple[OutputFile, ...]

    @property
    def duration(self) -> float | None:
        """Seconds from start to end, never below 0; None while it is not both known."""
        if self.started_at is None or self.ended_at is None:
            return None
        return max(self.ended_at - self.started_at, 0.0)

    def _repr_html_(self) -> str:
        """Return the task as a notebook shows it."""
        from batchcore.report.notebook import result_html

        return result_html(self)


class RunReport(Struct, frozen=True, kw_only=True):
    """A run as plain data; what ``--json`` prints.

    `counts` are of all tasks, `tasks` those that were asked for. `store` is the URL from which
    another machine can attach, empty where none can.
    """

    run: str
    backend: str
    state: str
    directory: Path
    counts: dict[str, int]
    tasks: tuple[TaskResult, ...]
    store: str = ""
    schema: str = REPORT_SCHEMA

    def _repr_mimebundle_(self, **_wanted: Any) -> dict[str, str]:
        """Return the run as a notebook shows it, short whatever its size."""
        from batchcore.report.notebook import run_bundle

        return run_bundle(self)

    def _repr_html_(self) -> str:
        """Return the same as HTML, for what asks for nothing else."""
        return self._repr_mimebundle_()["text/html"]


def task_result(row: TaskRow, place: Path, outputs: list[Any]) -> TaskResult:
    """Return a task as its row in the record and its collected files tell it."""
    return TaskResult(
        id=row.id,
        state=row.state,
        attempt=row.attempt,
        reason=row.reason,
        exit_code=row.exit_code,
        detail=row.detail,
        native=row.native,
        node=row.node,
        started_at=row.started_at,
        ended_at=row.ended_at,
        outputs=tuple(
            OutputFile(path=o.path, file=place / o.to, size=o.size, sha256=o.sha256)
            for o in outputs
        ),
    )


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, empty where there is none."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return ""
