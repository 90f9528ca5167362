"""The states of a task, the reasons for a failure, and the moves that are allowed."""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "FINAL",
    "Budget",
    "FailureReason",
    "TaskState",
    "budget_of",
    "can_move",
]


class TaskState(StrEnum):
    """Where a task is; states only move forward inside one attempt."""

    PENDING = "pending"
    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    FINALIZING = "finalizing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    UNKNOWN = "unknown"

    @property
    def final(self) -> bool:
        """Whether the attempt has ended."""
        return self in FINAL


FINAL = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELED})

_ORDER = {
    TaskState.PENDING: 0,
    TaskState.QUEUED: 1,
    TaskState.PREPARING: 2,
    TaskState.RUNNING: 3,
    TaskState.FINALIZING: 4,
    TaskState.SUCCEEDED: 5,
    TaskState.FAILED: 5,
    TaskState.CANCELED: 5,
}


class FailureReason(StrEnum):
    """Why a task failed; the set is closed, so that a policy can be written against it."""

    EXIT_CODE = "exit_code"
    START_FAILED = "start_failed"
    IMAGE = "image"
    RESOURCE = "resource"
    OUTPUT_MISSING = "output_missing"
    OUTPUT_UNSAFE = "output_unsafe"
    OUTPUT_UPLOAD = "output_upload"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    PREEMPTED = "preempted"
    NODE_LOST = "node_lost"
    DEPENDENCY = "dependency"
    QUOTA = "quota"
    BACKEND = "backend"


class Budget(StrEnum):
    """What a further attempt is charged to."""

    RETRIES = "retries"
    INTERRUPTIONS = "interruptions"
    NONE = "none"


_BUDGETS = {
    FailureReason.EXIT_CODE: Budget.RETRIES,
    FailureReason.START_FAILED: Budget.RETRIES,
    FailureReason.OUTPUT_MISSING: Budget.RETRIES,
    FailureReason.OUTPUT_UNSAFE: Budget.RETRIES,
    FailureReason.TIMEOUT: Budget.RETRIES,
    FailureReason.OUT_OF_MEMORY: Budget.RETRIES,
    FailureReason.IMAGE: Budget.INTERRUPTIONS,
    FailureReason.RESOURCE: Budget.INTERRUPTIONS,
    FailureReason.OUTPUT_UPLOAD: Budget.INTERRUPTIONS,
    FailureReason.PREEMPTED: Budget.INTERRUPTIONS,
    FailureReason.NODE_LOST: Budget.INTERRUPTIONS,
    FailureReason.BACKEND: Budget.INTERRUPTIONS,
    FailureReason.DEPENDENCY: Budget.NONE,
    FailureReason.QUOTA: Budget.NONE,
}


def can_move(old: TaskState, new: TaskState) -> bool:
    """Return whether one attempt may go from `old` to `new`.

    Forward only, skipping allowed; a final state never changes; `unknown` may follow any state
    that is not final and any state may follow it.
    """
    if old.final:
        return False
    if TaskState.UNKNOWN in {old, new}:
        return old is not new
    return _ORDER[new] > _ORDER[old]


def budget_of(reason: FailureReason) -> Budget:
    """Return which budget pays for another attempt after a failure of this kind.

    `retries` where the task itself is at fault, `interruptions` where it is not, none where
    another attempt cannot help.
    """
    return _BUDGETS[reason]
