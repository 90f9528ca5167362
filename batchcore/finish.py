"""The end of one attempt: keep its logs, collect its outputs, and say what the end means."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from batchcore import paths
from batchcore.backend import Backend, RunContext, TaskSubmission, TaskUpdate
from batchcore.plan import PlannedTask
from batchcore.record import Record
from batchcore.schedule import Ending
from batchcore.states import FailureReason, TaskState
from batchcore.transfer.collect import (
    Collected,
    Fetched,
    Refused,
    discard,
    fetch,
    open_tree,
    publish,
    withdraw,
)
from batchcore.transfer.logs import keep_log


class Finished(Struct, frozen=True):
    """An attempt whose files are fetched; exactly one of `publish` and `discard` follows."""

    task_id: str
    ending: Ending
    fetched: Fetched
    record: Record

    def publish(self) -> tuple[Collected, ...]:
        """Put the files in their places, take away those of earlier attempts, return the new."""
        outputs = self.record.outputs_directory
        new = {paths.folded(file.to) for file in self.fetched.files}
        old = [to for to in self.record.outputs_of(self.task_id) if paths.folded(to) not in new]
        withdraw(old, outputs)
        publish(self.fetched, outputs)
        return self.fetched.files

    def discard(self) -> None:
        """Drop the files, because another attempt follows."""
        discard(self.fetched)


def finish(
    record: Record, backend: Backend, run: RunContext, task: PlannedTask, update: TaskUpdate
) -> Finished:
    """Fetch the logs and the outputs that are due and judge the end.

    ``succeeded`` is believed only with exit code 0 and every required output fetched. Raises
    `TransferError` (transient) where the files cannot be reached; may be repeated.
    """
    incoming = record.directory / "incoming"
    ran = update.exit_code is not None or update.reason is FailureReason.TIMEOUT
    if not ran:
        return Finished(task.id, _judge(update, None, task, record), Fetched(incoming), record)
    files = backend.outputs(run, TaskSubmission(task, update.attempt))
    for stream, url in (("stdout", files.stdout), ("stderr", files.stderr)):
        lost = keep_log(url, record.log_path(task.id, update.attempt, stream))
        if lost:
            run.notify(f"{task.id}: the log {stream} of attempt {update.attempt} is lost: {lost}")
    fetched = Fetched(incoming)
    if update.state is not TaskState.CANCELED and task.outputs:
        fetched = fetch(task.outputs, update.state, open_tree(files.tree), incoming)
        fetched = _without_foreign(fetched, task, record)
    return Finished(task.id, _judge(update, fetched.refused, task, record), fetched, record)


def _without_foreign(fetched: Fetched, task: PlannedTask, record: Record) -> Fetched:
    """Refuse all files where one would replace another task's."""
    for file in fetched.files:
        owner = record.owner(file.to)
        if owner not in {None, task.id}:
            detail = f"{file.to!r} is in the way of what was collected from task {owner!r}"
            discard(fetched)
            refused = Refused(FailureReason.OUTPUT_UNSAFE, detail)
            return Fetched(fetched.incoming, (), refused)
    return fetched


def _judge(
    update: TaskUpdate, refused: Refused | None, task: PlannedTask, record: Record
) -> Ending:
    state, reason, detail = update.state, update.reason, update.detail
    if state is TaskState.SUCCEEDED and update.exit_code != 0:
        state, reason = TaskState.FAILED, FailureReason.BACKEND
        detail = "the backend reported success without exit code 0"
    elif state is TaskState.SUCCEEDED and refused is not None:
        state, reason, detail = TaskState.FAILED, refused.reason, refused.detail
    elif state is TaskState.FAILED:
        reason = reason or FailureReason.BACKEND
        detail = detail or last_line(record.log_path(task.id, update.attempt, "stderr"))
    return Ending(
        state=state,
        reason=reason,
        exit_code=update.exit_code,
        detail=detail,
        retryable=update.retryable,
    )


def last_line(log: Path, limit: int = 200) -> str:
    """Return the last line of a log that is not blank, shortened, control characters shown."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(os.fstat(stream.fileno()).st_size - 4096, 0))
            lines = stream.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    line = next((text.strip() for text in reversed(lines) if text.strip()), "")
    return "".join(c if c.isprintable() else "�" for c in line)[:limit]
