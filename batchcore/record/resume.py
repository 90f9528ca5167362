"""Making a recorded run ready to go on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from batchcore.errors import BackendError, NotFound
from batchcore.record import durability, manifest
from batchcore.record.record import Record, TaskRow
from batchcore.record.requests import forget_requests
from batchcore.states import TaskState
from batchcore.transfer.collect import Collected

_TO_START = frozenset({TaskState.PENDING, TaskState.QUEUED, TaskState.PREPARING})
_TO_START_AGAIN = _TO_START | {TaskState.FAILED, TaskState.CANCELED}


def has_ended(record: Record) -> bool:
    """Return whether an earlier command has driven the run to its end."""
    return record.has_ended


def past_start(directory: Path) -> frozenset[str]:
    """Return the tasks that the next command need not start, as far as is known by looking.

    Empty where there is no run yet, and where its record must be built anew.
    """
    try:
        record = Record.read(directory)
    except (NotFound, BackendError):
        return frozenset()
    try:
        with record.errors():
            to_start = _TO_START_AGAIN if has_ended(record) else _TO_START
            return frozenset(row.id for row in record.rows() if row.state not in to_start)
    except BackendError:
        return frozenset()
    finally:
        record.close()


def reopen(
    record: Record, boot: str | None = None, *, chosen: Collection[str] | None = None
) -> bool:
    """Make a run ready to go on.

    After its end what did not succeed gets new attempts; where tasks are `chosen`, these alone do,
    and whether the run has ended does not matter. What was killed on the way is left as it is for
    the driver. A result that somebody has removed is made again, and so is one that a stop
    of the machine has damaged before it was on disk: where `boot`, default this one, is not the
    boot in which files were left unsynced, each file is read and compared. Return whether the
    record had been damaged and was rebuilt.
    """
    boot = boot or durability.boot_id()
    shutil.rmtree(record.directory / "incoming", ignore_errors=True)
    rebuilt = bool(record.meta("rebuilt"))
    if rebuilt:
        record.save_meta("unsynced", boot)
        _restore(record)
    manifest.mend(record.directory)
    lost = _losses(record, boot)
    ended = has_ended(record)
    collected = record.outputs()

    def is_due(task_id: str) -> bool:
        return ended if chosen is None else task_id in chosen

    again: list[TaskRow] = []
    for row in record.rows():
        unfinished = row.state in {TaskState.FAILED, TaskState.CANCELED}
        if (unfinished and is_due(row.id)) or lost(row, collected.get(row.id, ())):
            row.state, row.canceling, row.reason, row.detail = TaskState.PENDING, False, None, ""
            row.exit_code, row.retries, row.interruptions = None, 0, 0
            row.native = row.node = ""
            row.submitted_at = row.started_at = row.ended_at = None
            again.append(row)
    if ended:
        forget_requests(record.directory)
    record.save_again(again)
    if record.unsynced:
        record.save_meta("unsynced", boot)  # what is not being made again has been read in it
    return rebuilt


def _losses(record: Record, boot: str) -> Callable[[TaskRow, Sequence[Collected]], bool]:
    """Return how to find out whether a task's files are lost: by their length, or their content."""
    outputs = record.outputs_directory
    if not record.unsynced or durability.is_same_boot(record.unsynced, boot):
        return lambda row, files: (
            row.state is TaskState.SUCCEEDED and not manifest.are_whole(outputs, files)
        )
    return lambda row, files: row.state.final and not durability.are_unchanged(outputs, files)


def _restore(record: Record) -> None:
    """Take what was published before the record was lost from the manifest."""
    published = manifest.read(record.directory)
    for row in record.rows():
        found = published.get(row.id)
        if found is None or not durability.are_unchanged(record.outputs_directory, found.files):
            continue
        row.state, row.attempt, row.exit_code = TaskState.SUCCEEDED, found.attempt, 0
        row.started_at, row.ended_at = found.started_at, found.ended_at
        record.save_end(row, found.files)
    record.save_meta("rebuilt", "")
