"""Making a recorded run ready to go on."""

from __future__ import annotations

from batchcore.record import Record, TaskRow
from batchcore.requests import forget_requests
from batchcore.states import TaskState
from batchcore.transfer.stage import remove_strays


def reopen(record: Record) -> None:
    """Make a run that has ended ready to go on: what did not succeed gets new attempts."""
    remove_strays(record.outputs_directory)
    ended = record.meta("state") not in {"", "running"}
    collected = record.outputs()
    again: list[TaskRow] = []
    for row in record.rows():
        files = [(record.outputs_directory / o.to, o.size) for o in collected.get(row.id, ())]
        lost = any(not path.is_file() or path.stat().st_size != size for path, size in files)
        unfinished = ended and row.state in {TaskState.FAILED, TaskState.CANCELED}
        if unfinished or (row.state is TaskState.SUCCEEDED and lost):
            row.state, row.canceling, row.reason, row.detail = TaskState.PENDING, False, None, ""
            row.exit_code, row.retries, row.interruptions = None, 0, 0
            again.append(row)
    if ended:
        forget_requests(record.directory)
    record.save(again)
    record.save_meta("state", "running")
