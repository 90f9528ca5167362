"""What a listed task means. The tasks are made by the SDK from bodies as the service sends them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from azure.batch.models import BatchTask

from batchcore.backend import TaskUpdate
from batchcore.states import FailureReason, TaskState
from batchcore_azure.outcome import MEANINGS, Bounds, update_of

BOUNDS = Bounds(seconds=600, queue_seconds=3600, requeues=5)
CREATED = "2026-01-01T00:00:00.1234567Z"
ENDED_BY_USER = {"category": "UserError", "code": "TaskEnded", "message": "ended by user request"}


def task(state: str, previous: str | None = None, **info: Any) -> BatchTask:
    body = {
        "id": "one",
        "state": state,
        "stateTransitionTime": "2026-01-01T00:10:00Z",
        "creationTime": CREATED,
        "executionInfo": {"retryCount": 0, "requeueCount": 0, **info},
        "nodeInfo": {"nodeId": "tvm-1"},
    }
    return BatchTask(body | ({"previousState": previous} if previous else {}))


def completed(minutes: int = 5, **info: Any) -> TaskUpdate:
    times = {"startTime": "2026-01-01T00:01:00Z", "endTime": f"2026-01-01T00:{minutes + 1:02}:00Z"}
    return update_of(task("completed", "running", **times, **info), 1, BOUNDS)


def failed(code: str, exit_code: int | None = None, **failure: Any) -> TaskUpdate:
    info = {"category": "UserError", "code": code, "message": "the words", **failure}
    extra = {} if exit_code is None else {"exitCode": exit_code}
    return completed(result="failure", failureInfo=info, **extra)


def test_success_is_a_result_of_success_with_exit_code_0():
    update = completed(exitCode=0, result="success")
    assert update.state is TaskState.SUCCEEDED
    assert (update.exit_code, update.reason, update.node) == (0, None, "tvm-1")
    assert update.ended_at - update.started_at == 300


@pytest.mark.parametrize("result", ["Success", "SUCCESS", None])
def test_the_case_of_a_result_and_its_absence_change_nothing(result):
    info = {"result": result} if result else {}
    assert completed(exitCode=0, **info).state is TaskState.SUCCEEDED


@pytest.mark.parametrize(
    "info",
    [
        {"result": "success"},
        {"result": "failure", "exitCode": 0},
        {"result": "success", "exitCode": 0, "failureInfo": {"category": "x", "code": "New"}},
        {},
    ],
)
def test_anything_less_is_no_success(info):
    assert completed(**info).state is TaskState.FAILED


def test_an_exit_code_is_the_tasks_own_failure():
    update = failed("FailureExitCode", 3)
    assert (update.reason, update.exit_code) == (FailureReason.EXIT_CODE, 3)
    # The last line of the log says more than the service does.
    assert update.detail == ""
    assert completed(exitCode=3, result="failure").reason is FailureReason.EXIT_CODE


@pytest.mark.parametrize(
    ("code", "reason", "retryable"),
    [
        ("CommandProgramNotFound", "start_failed", False),
        ("BlobAccessDenied", "resource", True),
        ("BlobNotFound", "resource", False),
        ("ResourceContainerListTimedOut", "resource", True),
        ("ContainerInvalidImage", "image", False),
        ("ContainerMiscError", "backend", True),
        ("DiskFull", "backend", True),
        ("MaxInternalRetryCountReached", "node_lost", True),
        ("FileUploadMiscError", "output_upload", True),
        ("FileUploadContainerNotFound", "output_upload", False),
        ("SomethingNew", "backend", True),
    ],
)
@pytest.mark.parametrize("spelling", [str, str.lower, str.upper])
def test_the_codes_of_the_service_have_one_meaning_in_any_case(code, reason, retryable, spelling):
    update = failed(spelling(code))
    assert update.state is TaskState.FAILED
    assert (update.reason, update.retryable, update.exit_code) == (reason, retryable, None)
    assert update.native == spelling(code)
    assert update.detail == "the words"


def test_every_meaning_is_a_failure_that_the_core_knows():
    assert {meaning.reason for meaning in MEANINGS.values()} <= set(FailureReason)


def test_a_failed_upload_after_exit_code_0_is_no_success():
    update = failed("FileUploadAccessDenied", 0)
    assert (update.state, update.reason) == (TaskState.FAILED, FailureReason.OUTPUT_UPLOAD)
    assert update.exit_code == 0


def test_a_failed_upload_does_not_hide_that_the_task_itself_failed():
    assert failed("FileUploadMiscError", 4).reason is FailureReason.EXIT_CODE


def test_the_services_words_are_one_line_with_its_details_and_without_signatures():
    update = failed(
        "BlobAccessDenied",
        message="denied\nfor it",
        details=[{"name": "Url", "value": "https://a/b?sv=1&sig=CANARY%3D&se=2"}],
    )
    assert "CANARY" not in update.detail
    assert update.detail.startswith("denied for it; Url: https://a/b?sv=1&sig=")


def test_words_without_end_are_cut():
    assert len(failed("DiskFull", message="x" * 10_000).detail) == 1_000


def test_a_task_that_was_stopped_was_canceled():
    update = completed(2, exitCode=137, result="failure", failureInfo=ENDED_BY_USER)
    assert (update.state, update.reason, update.exit_code) == (TaskState.CANCELED, None, 137)


def test_a_task_that_was_stopped_at_its_time_limit_timed_out():
    update = completed(10, exitCode=143, result="failure", failureInfo=ENDED_BY_USER)
    assert (update.state, update.reason) == (TaskState.FAILED, FailureReason.TIMEOUT)
    assert "600 s" in update.detail


def stopped_in_queue(end: str, bounds: Bounds = BOUNDS) -> TaskUpdate:
    info = {"endTime": end, "result": "failure", "failureInfo": ENDED_BY_USER}
    return update_of(task("completed", "active", **info), 1, bounds)


def test_a_task_that_was_stopped_before_it_started_was_canceled():
    assert stopped_in_queue("2026-01-01T00:30:00Z").state is TaskState.CANCELED


def test_a_task_that_waited_for_too_long_fails_with_the_reason_of_its_wait():
    bounds = Bounds(
        seconds=600,
        queue_seconds=3600,
        requeues=5,
        waiting="no cores are left",
        waiting_reason=FailureReason.QUOTA,
    )
    update = stopped_in_queue("2026-01-01T01:30:00Z", bounds)
    assert (update.state, update.reason) == (TaskState.FAILED, FailureReason.QUOTA)
    assert update.detail.endswith("max_queue_time, 3600 s: no cores are left")
    assert not update.retryable
    assert stopped_in_queue("2026-01-01T01:30:00Z").reason is FailureReason.BACKEND


def test_a_task_that_was_stopped_after_too_many_lost_machines_was_preempted():
    update = completed(1, result="failure", failureInfo=ENDED_BY_USER, requeueCount=6)
    assert (update.state, update.reason) == (TaskState.FAILED, FailureReason.PREEMPTED)
    assert update.retryable


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("active", TaskState.QUEUED),
        ("preparing", TaskState.PREPARING),
        ("running", TaskState.RUNNING),
        ("Running", TaskState.RUNNING),
        ("astonishing", TaskState.UNKNOWN),
    ],
)
def test_a_task_that_has_not_ended(state, expected):
    update = update_of(task(state), 2, BOUNDS)
    assert (update.state, update.attempt, update.exit_code) == (expected, 2, None)
    assert update.ended_at is None


def test_a_task_that_lost_its_machine_does_not_go_back_to_the_queue():
    update = update_of(task("active", "Running", requeueCount=1), 1, BOUNDS)
    assert (update.state, update.node) == (TaskState.RUNNING, "tvm-1 (start 2)")


def test_a_task_of_which_nothing_is_known_can_be_read():
    bare = BatchTask({"id": "one", "state": "active"})
    update = update_of(bare, 1, Bounds(seconds=1, queue_seconds=math.inf, requeues=0))
    assert (update.state, update.node, update.native) == (TaskState.QUEUED, "", "")
