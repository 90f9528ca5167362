"""How an attempt ended: as it is written down, and as it is told."""

from __future__ import annotations

import msgspec

from batchcore.backend import TaskUpdate
from batchcore.errors import BackendError, BatchcoreError, TransferError
from batchcore.local.runner import Attempt, Exit
from batchcore.states import FailureReason, TaskState


def read_exit(attempt: Attempt) -> Exit | None:
    """Return how an attempt ended, if an engine has written it down."""
    try:
        return msgspec.json.decode((attempt.control / "exit.json").read_bytes(), type=Exit)
    except FileNotFoundError:
        return None


def end_update(attempt: Attempt, end: Exit, *, canceled: bool, now: float) -> TaskUpdate:
    """Return the last update of an attempt; one that was canceled and exited 0 has succeeded."""
    state, reason = TaskState.FAILED, end.reason
    if canceled and end.code != 0:
        state, reason = TaskState.CANCELED, None
    elif reason is None and end.code == 0:
        state = TaskState.SUCCEEDED
    elif reason is None:
        reason = FailureReason.EXIT_CODE if end.code is not None else FailureReason.BACKEND
    return TaskUpdate(
        task_id=attempt.task.id,
        attempt=attempt.number,
        state=state,
        reason=reason,
        exit_code=end.code,
        detail=end.detail,
        native=end.native,
        node=f"local-{attempt.slot}",
        retryable=end.retryable,
        started_at=end.started_at,
        ended_at=end.ended_at or now,
    )


def exit_of_error(error: Exception) -> Exit:
    """Return the end of an attempt that a permanent error or a bug has stopped."""
    if not isinstance(error, BatchcoreError):
        detail = f"{error.__class__.__name__}: {error}"
        return Exit(reason=FailureReason.BACKEND, detail=detail, retryable=False)
    return Exit(
        reason=FailureReason.BACKEND,
        detail=error.reason,
        native=error.error_code,
        retryable=False,
    )


def final_error(error: BatchcoreError) -> BatchcoreError:
    """Return an error as one that is not worth repeating now: the runner has been patient."""
    if isinstance(error, TransferError):
        return TransferError(error.reason, hint=error.hint, where=error.where)
    if not isinstance(error, BackendError):
        return error
    return BackendError(
        error.reason,
        hint=error.hint or "mend that and run the same command again; nothing is lost",
        where=error.where,
        code=error.error_code,
    )
