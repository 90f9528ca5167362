"""Making a recorded run ready to go on."""

from __future__ import annotations

import shutil

from batchcore import manifest
from batchcore.record import Record, TaskRow
from batchcore.requests import forget_requests
from batchcore.states import TaskState

_ENDED = frozenset({"succeeded", "failed", "canceled"})


def has_ended(record: Record) -> bool:
    """Return whether an earlier command has driven the run to its end."""
    return record.meta("state") in _ENDED


def reopen(record: Record) -> bool:
    """Make a run ready to go on.

    After its end what did not succeed gets new attempts; what was killed on the way is left as it
    is for the driver. A result that somebody has removed is made again. Return whether the record
    had been damaged and was rebuilt.
    """
    shutil.rmtree(record.directory / "incoming", ignore_errors=True)
    rebuilt = bool(record.meta("rebuilt"))
    if rebuilt:
        _restore(record)
    ended = has_ended(record)
    collected = record.outputs()
    again: list[TaskRow] = []
    for row in record.rows():
        unfinished = ended and row.state in {TaskState.FAILED, TaskState.CANCELED}
        files = collected.get(row.id, ())
        lost = row.state is TaskState.SUCCEEDED and not manifest.are_whole(
            record.outputs_directory, files
        )
        if unfinished or lost:
            row.state, row.canceling, row.reason, row.detail = TaskState.PENDING, False, None, ""
            row.exit_code, row.retries, row.interruptions = None, 0, 0
            row.native = row.node = ""
            row.submitted_at = row.started_at = row.ended_at = None
            again.append(row)
    if ended:
        forget_requests(record.directory)
    record.save(again)
    record.save_meta("state", "running")
    return rebuilt


def _restore(record: Record) -> None:
    """Take what was published before the record was lost from the manifest."""
    published = manifest.read(record.directory)
    for row in record.rows():
        found = published.get(row.id)
        if found is None or not manifest.are_whole(record.outputs_directory, found.files):
            continue
        row.state, row.attempt, row.exit_code = TaskState.SUCCEEDED, found.attempt, 0
        row.started_at, row.ended_at = found.started_at, found.ended_at
        record.save_end(row, found.files)
    record.save_meta("rebuilt", "")
