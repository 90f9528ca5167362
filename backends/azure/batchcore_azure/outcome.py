"""From a task as Batch lists it to a `TaskUpdate`. Pure.

The codes of a failure are those of the class TaskFailureInformationCodes in the .NET SDK and of
"Error handling and detection in Azure Batch" (Microsoft Learn). The service is not consistent in
its upper and lower case, so nothing here depends on it.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from azure.batch.models import (  # noqa: TID253 - only loaded once the backend is used
    BatchTask,
    BatchTaskExecutionInfo,
    BatchTaskFailureInfo,
)
from msgspec import Struct

from batchcore.backend import TaskUpdate
from batchcore.states import FailureReason, TaskState
from batchcore_azure.redaction import redact

SELECTED = (
    "id",
    "state",
    "previousState",
    "stateTransitionTime",
    "creationTime",
    "executionInfo",
    "nodeInfo",
)
"""The properties of a listed task that are looked at here."""

_CLOCK_TOLERANCE = 1.0  # seconds; the service notes start and end with its own delays
_LONGEST_DETAIL = 1_000

_RUNNING = {
    "preparing": TaskState.PREPARING,
    "running": TaskState.RUNNING,
}


class Meaning(NamedTuple):
    """What a code of the service is here, and whether another attempt may help."""

    reason: FailureReason
    retryable: bool = True


_RESOURCE = Meaning(FailureReason.RESOURCE)
_UPLOAD = Meaning(FailureReason.OUTPUT_UPLOAD)
_BACKEND = Meaning(FailureReason.BACKEND)

# A further attempt gets new signed URLs, so a refused one is worth it; a missing blob is not.
MEANINGS: dict[str, Meaning] = {
    "failureexitcode": Meaning(FailureReason.EXIT_CODE),
    "commandprogramnotfound": Meaning(FailureReason.START_FAILED, retryable=False),
    "commandlaunchfailed": Meaning(FailureReason.START_FAILED, retryable=False),
    "taskschedulingconstraintfailed": _BACKEND,
    "maxinternalretrycountreached": Meaning(FailureReason.NODE_LOST),
    "diskfull": _BACKEND,
    "unknown": _BACKEND,
    "blobaccessdenied": _RESOURCE,
    "blobnotfound": Meaning(FailureReason.RESOURCE, retryable=False),
    "blobdownloadtimedout": _RESOURCE,
    "blobdownloadmiscerror": _RESOURCE,
    "resourcecontaineraccessdenied": _RESOURCE,
    "resourcecontainernotfound": Meaning(FailureReason.RESOURCE, retryable=False),
    "resourcecontainerlisttimedout": _RESOURCE,
    "resourcecontainerlistmiscerror": _RESOURCE,
    "resourcedirectorycreatefailed": _RESOURCE,
    "resourcefilecreatefailed": _RESOURCE,
    "resourcefilewritefailed": _RESOURCE,
    "applicationpackageerror": _BACKEND,
    "mountconfigurationerror": _BACKEND,
    "containerinvalidimage": Meaning(FailureReason.IMAGE, retryable=False),
    "containerinvalidregistry": Meaning(FailureReason.IMAGE, retryable=False),
    "containerinvalidsettings": Meaning(FailureReason.START_FAILED, retryable=False),
    "containertasksettingsnotfound": Meaning(FailureReason.START_FAILED, retryable=False),
    "containermiscerror": _BACKEND,
    "fileuploadaccessdenied": _UPLOAD,
    "fileuploadcontainernotfound": Meaning(FailureReason.OUTPUT_UPLOAD, retryable=False),
    "fileuploadconflict": _UPLOAD,
    "fileuploadtimedout": _UPLOAD,
    "fileuploadmiscerror": _UPLOAD,
}


class Bounds(Struct, frozen=True, kw_only=True):
    """What tells the ends apart that Batch calls by one name, TaskEnded.

    `seconds` is the task's time limit, `queue_seconds` the longest wait for a machine,
    `requeues` how often Batch may start the task again. `waiting` says why it waits, and is of
    the kind `waiting_reason`.
    """

    seconds: float
    queue_seconds: float
    requeues: int
    waiting: str = ""
    waiting_reason: FailureReason = FailureReason.BACKEND


class _Verdict(NamedTuple):
    state: TaskState
    meaning: Meaning | None = None
    detail: str = ""


def update_of(task: BatchTask, attempt: int, bounds: Bounds) -> TaskUpdate:
    """Return what a listed task says of an attempt.

    It succeeded only where the service says so, names no failure and gives exit code 0. A task
    that Batch starts again after it lost the machine stays `running`.
    """
    info = task.execution_info or BatchTaskExecutionInfo(retry_count=0, requeue_count=0)
    verdict = _verdict(task, info, bounds)
    reason, retryable = verdict.meaning or (None, True)
    failure = info.failure_info
    return TaskUpdate(
        task_id=task.id or "",
        attempt=attempt,
        state=verdict.state,
        reason=reason,
        exit_code=info.exit_code if verdict.state.final else None,
        detail=verdict.detail,
        native=str(failure.code or "") if failure else "",
        node=_node(task, info),
        retryable=retryable,
        started_at=seconds(info.start_time),
        ended_at=seconds(info.end_time) if verdict.state.final else None,
    )


def state_of(task: BatchTask) -> str:
    """Return the service's own state of a task, in lower case."""
    return lowered(task.state)


def requeues_of(task: BatchTask) -> int:
    """Return how often Batch has started a task again by itself."""
    return int((task.execution_info and task.execution_info.requeue_count) or 0)


def lowered(value: object) -> str:
    """Return an enum of the SDK, or the text it did not know, in lower case."""
    return str(getattr(value, "value", value) or "").lower()


def seconds(time: datetime | None) -> float | None:
    """Return a time of the service in seconds since the epoch."""
    return time.timestamp() if time is not None else None


def has_waited_too_long(task: BatchTask, now: float, bounds: Bounds) -> bool:
    """Return whether a task that never started is older than it may be."""
    info = task.execution_info
    created = seconds(task.creation_time)
    started = info is not None and (info.start_time is not None or bool(info.requeue_count))
    return not started and created is not None and now - created >= bounds.queue_seconds


def _verdict(task: BatchTask, info: BatchTaskExecutionInfo, bounds: Bounds) -> _Verdict:
    state = state_of(task)
    if state == "completed":
        return _end(task, info, bounds)
    if state == "active":
        again = requeues_of(task) or lowered(task.previous_state) == "running"
        return _Verdict(TaskState.RUNNING if again else TaskState.QUEUED)
    return _Verdict(_RUNNING.get(state, TaskState.UNKNOWN))


def _end(task: BatchTask, info: BatchTaskExecutionInfo, bounds: Bounds) -> _Verdict:
    failure, code = info.failure_info, info.exit_code
    if failure is None:
        return _end_without_failure(info)
    native = lowered(failure.code)
    if native == "taskended":
        return _stopped(task, info, bounds)
    meaning = MEANINGS.get(native, _BACKEND)
    if meaning.reason is FailureReason.OUTPUT_UPLOAD and code not in {None, 0}:
        meaning = MEANINGS["failureexitcode"]
    detail = "" if meaning.reason is FailureReason.EXIT_CODE else said(failure)
    return _Verdict(TaskState.FAILED, meaning, detail)


def _end_without_failure(info: BatchTaskExecutionInfo) -> _Verdict:
    if info.exit_code == 0 and lowered(info.result) in {"", "success"}:
        return _Verdict(TaskState.SUCCEEDED)
    if info.exit_code:
        return _Verdict(TaskState.FAILED, MEANINGS["failureexitcode"])
    detail = f"Batch gives no failure, exit code {info.exit_code} and result {info.result}"
    return _Verdict(TaskState.FAILED, _BACKEND, detail)


def _stopped(task: BatchTask, info: BatchTaskExecutionInfo, bounds: Bounds) -> _Verdict:
    """Tell apart why Batch stopped a task: it says the same of every reason."""
    if requeues_of(task) > bounds.requeues:
        detail = f"Batch lost its machine {requeues_of(task)} times; max_requeues allows fewer"
        return _Verdict(TaskState.FAILED, Meaning(FailureReason.PREEMPTED), detail)
    if info.start_time is None:
        ended = seconds(info.end_time or task.state_transition_time)
        if ended is not None and has_waited_too_long(task, ended, bounds):
            return _Verdict(
                TaskState.FAILED,
                Meaning(bounds.waiting_reason, retryable=False),
                f"no machine took it within max_queue_time, {bounds.queue_seconds:.0f} s"
                + (f": {bounds.waiting}" if bounds.waiting else ""),
            )
    elif info.end_time is not None:
        took = (info.end_time - info.start_time).total_seconds()
        if took >= bounds.seconds - _CLOCK_TOLERANCE:
            detail = f"stopped after its time limit of {bounds.seconds:.0f} s"
            return _Verdict(TaskState.FAILED, Meaning(FailureReason.TIMEOUT), detail)
    return _Verdict(TaskState.CANCELED, None, said(info.failure_info))


def said(failure: BatchTaskFailureInfo | None) -> str:
    """Return the service's own words on one line, without signatures."""
    if failure is None:
        return ""
    parts = [failure.message or str(failure.code or "")]
    parts += [f"{pair.name}: {pair.value}" for pair in failure.details or () if pair.value]
    text = redact(" ".join("; ".join(parts).split()))
    return text if len(text) <= _LONGEST_DETAIL else text[: _LONGEST_DETAIL - 1] + "…"


def _node(task: BatchTask, info: BatchTaskExecutionInfo) -> str:
    node = (task.node_info.node_id if task.node_info else None) or ""
    again = int(info.requeue_count or 0)
    return f"{node} (start {again + 1})".strip() if again else node
