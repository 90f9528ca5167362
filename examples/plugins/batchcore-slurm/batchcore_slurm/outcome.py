"""What Slurm's view of an attempt, and the marks it left, mean together. Pure."""

from __future__ import annotations

from msgspec import Struct

from batchcore.backend import TaskUpdate
from batchcore.states import FailureReason, TaskState
from batchcore_slurm.answers import Row
from batchcore_slurm.script import UNSEEN

REASONS = {
    "BOOT_FAIL": FailureReason.NODE_LOST,
    "DEADLINE": FailureReason.TIMEOUT,
    "LAUNCH_FAILED": FailureReason.NODE_LOST,
    "NODE_FAIL": FailureReason.NODE_LOST,
    "OUT_OF_MEMORY": FailureReason.OUT_OF_MEMORY,
    "PREEMPTED": FailureReason.PREEMPTED,
    "REVOKED": FailureReason.NODE_LOST,
    "TIMEOUT": FailureReason.TIMEOUT,
}
_ON_NODE = frozenset(
    {"COMPLETING", "RESIZING", "RUNNING", "SIGNALING", "STAGE_OUT", "STOPPED", "SUSPENDED"}
)
_OWN_VERDICT = "-"


class End(Struct, frozen=True, kw_only=True):
    """How the script on the node says that it ended; `word` is a reason, or ``-`` for none."""

    code: int
    word: str = _OWN_VERDICT
    why: str = ""
    at: float | None = None


class Seen(Struct, frozen=True, kw_only=True):
    """What is known of one attempt; times are seconds since the epoch.

    `row` is Slurm's view, None where it knows nothing of it. `settled` says that what the node
    has written must be visible here by now. `told` is an end that was told before.
    """

    task_id: str
    attempt: int
    job: str
    row: Row | None = None
    begun: bool = False
    running_since: float | None = None
    canceled: bool = False
    end: End | None = None
    settled: bool = False
    told: TaskUpdate | None = None

    @property
    def marked(self) -> bool:
        """Whether its marks alone say how it ended, whatever Slurm says or forgets."""
        if self.end is None:
            return self.canceled and not self.begun
        return self.canceled or self.end.code == 0 or self.end.word != _OWN_VERDICT

    @property
    def unexplained(self) -> bool:
        """Whether Slurm has forgotten it, and only Slurm could say how it ended."""
        if self.row is not None or self.told is not None or self.marked:
            return False
        return self.end is not None or self.settled


def update_of(seen: Seen) -> TaskUpdate | None:
    """Return what to say of an attempt now; None where it is too early to say anything new."""
    row, end = seen.row, seen.end
    if end is not None:
        return _ended(seen, end)
    if row is None:
        return _vanished(seen) if seen.settled or seen.canceled else None
    if row.ended:
        return _ended_without_word(seen, row)
    if row.state in _ON_NODE:
        running = seen.running_since is not None
        return _update(seen, TaskState.RUNNING if running else TaskState.PREPARING)
    if row.state == "CONFIGURING":
        return _update(seen, TaskState.PREPARING)
    waiting = row.waits_for and f"waits in Slurm's queue: {row.waits_for}"
    return _update(seen, TaskState.QUEUED, detail=waiting)


def _ended(seen: Seen, end: End) -> TaskUpdate:
    """Say how a script ended; where its command failed, Slurm knows whether it was pushed."""
    if end.code == 0 and end.word == _OWN_VERDICT:
        return _update(seen, TaskState.SUCCEEDED)
    if seen.canceled:
        return _update(seen, TaskState.CANCELED, detail="canceled")
    if end.word != _OWN_VERDICT:
        reason = FailureReason(end.word)
        ran = reason is FailureReason.TIMEOUT
        detail = "stopped after its time limit" if ran else end.why
        return _update(seen, TaskState.FAILED, reason, detail, code=end.code if ran else None)
    if seen.row is not None and not seen.row.ended:
        return _update(seen, TaskState.FINALIZING)
    return _of_slurm(seen) or _update(seen, TaskState.FAILED, FailureReason.EXIT_CODE)


def _ended_without_word(seen: Seen, row: Row) -> TaskUpdate | None:
    if seen.canceled:
        return _update(seen, TaskState.CANCELED, detail="canceled")
    if told := _of_slurm(seen):
        return told
    if not seen.settled:
        return None
    if row.code == UNSEEN and not seen.begun:
        detail = (
            f"node {row.node} does not see the run directory: nodes and controller must share it"
        )
        return _update(seen, TaskState.FAILED, FailureReason.START_FAILED, detail, retryable=False)
    return _vanished(seen)


def _of_slurm(seen: Seen) -> TaskUpdate | None:
    """Say what Slurm itself did to an attempt, None where it did nothing."""
    row = seen.row
    if row is not None and row.state == "CANCELLED":
        return _update(seen, TaskState.CANCELED, detail="canceled by scancel")
    if row is None or row.state not in REASONS:
        return None
    detail = f"Slurm ended it: {row.state}" + (f" ({row.waits_for})" if row.waits_for else "")
    return _update(seen, TaskState.FAILED, REASONS[row.state], detail)


def _vanished(seen: Seen) -> TaskUpdate:
    if seen.canceled:
        return _update(seen, TaskState.CANCELED, detail="canceled")
    detail = "Slurm has done with it, and it had written no exit code"
    return _update(seen, TaskState.FAILED, FailureReason.NODE_LOST, detail)


def _update(
    seen: Seen,
    state: TaskState,
    reason: FailureReason | None = None,
    detail: str = "",
    *,
    code: int | None = None,
    retryable: bool = True,
) -> TaskUpdate:
    row, end = seen.row, seen.end
    if end is not None and end.word == _OWN_VERDICT:
        code = end.code
    return TaskUpdate(
        task_id=seen.task_id,
        attempt=seen.attempt,
        state=state,
        reason=reason,
        exit_code=code if state.final else None,
        detail=detail,
        native=f"{seen.job} {row.state}" if row else seen.job,
        node=row.node if row else "",
        retryable=retryable,
        started_at=seen.running_since,
        ended_at=end.at if end and state.final else None,
    )
