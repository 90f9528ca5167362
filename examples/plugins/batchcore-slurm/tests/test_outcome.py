"""What Slurm's view of an attempt and its marks mean together."""

from __future__ import annotations

from typing import Any

import pytest

from batchcore.backend import TaskUpdate
from batchcore.states import FailureReason, TaskState
from batchcore_slurm.answers import ENDED, Row
from batchcore_slurm.outcome import REASONS, End, Seen, update_of


def seen(state: str = "", **fields: Any) -> Seen:
    code = fields.pop("code", None)
    row = Row(job="7", index=0, state=state, code=code, node="n1") if state else None
    return Seen(task_id="a", attempt=1, job="7_0", row=row, **fields)


def told(state: str = "", **fields: Any) -> TaskUpdate:
    update = update_of(seen(state, **fields))
    assert update is not None
    return update


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("PENDING", TaskState.QUEUED),
        ("REQUEUED", TaskState.QUEUED),
        ("CONFIGURING", TaskState.PREPARING),
        ("RUNNING", TaskState.PREPARING),
    ],
)
def test_before_the_command_starts(state: str, expected: TaskState) -> None:
    assert told(state).state is expected


@pytest.mark.parametrize("state", ["RUNNING", "SUSPENDED", "COMPLETING"])
def test_a_task_runs_once_its_command_has_started(state: str) -> None:
    assert told(state, running_since=5.0).state is TaskState.RUNNING


def test_an_exit_file_with_0_is_a_success_whatever_slurm_says() -> None:
    for state in ("", "RUNNING", "COMPLETED", "CANCELLED"):
        assert told(state, end=End(code=0)).state is TaskState.SUCCEEDED


def test_a_failed_command_waits_for_slurms_verdict() -> None:
    assert told("COMPLETING", end=End(code=143)).state is TaskState.FINALIZING


@pytest.mark.parametrize("state", ["FAILED", "COMPLETED", ""])
def test_a_failed_command_has_its_exit_code(state: str) -> None:
    update = told(state, end=End(code=3, at=9.0))
    assert (update.state, update.reason) == (TaskState.FAILED, FailureReason.EXIT_CODE)
    assert (update.exit_code, update.ended_at) == (3, 9.0)


@pytest.mark.parametrize(("state", "reason"), REASONS.items())
@pytest.mark.parametrize("end", [None, End(code=143)])
def test_what_slurm_did_to_a_task_is_the_reason(
    state: str, reason: FailureReason, end: End | None
) -> None:
    update = told(state, end=end)
    assert (update.state, update.reason) == (TaskState.FAILED, reason)
    assert state in update.detail


def test_a_task_that_somebody_took_out_of_slurm_is_canceled() -> None:
    assert told("CANCELLED").state is TaskState.CANCELED


@pytest.mark.parametrize("state", ["", *sorted(ENDED)])
@pytest.mark.parametrize("end", [None, End(code=143), End(code=137, word="timeout")])
def test_a_task_that_was_asked_to_stop_is_canceled(state: str, end: End | None) -> None:
    assert told(state, canceled=True, end=end).state is TaskState.CANCELED


def test_a_time_limit_is_told_apart_from_the_signal_it_sends() -> None:
    update = told("RUNNING", end=End(code=143, word="timeout"))
    assert (update.reason, update.exit_code) == (FailureReason.TIMEOUT, 143)


def test_a_command_that_never_ran_has_no_exit_code() -> None:
    update = told("RUNNING", end=End(code=74, word="resource", why="install: no such file"))
    assert (update.reason, update.exit_code) == (FailureReason.RESOURCE, None)
    assert update.detail == "install: no such file"


@pytest.mark.parametrize("state", ["", "COMPLETED", "FAILED"])
def test_an_end_without_a_word_is_believed_only_after_a_while(state: str) -> None:
    assert update_of(seen(state)) is None
    assert told(state, settled=True).reason is FailureReason.NODE_LOST


def test_a_node_without_the_shared_directory_is_named() -> None:
    update = told("FAILED", code=66, settled=True)
    assert update.reason is FailureReason.START_FAILED
    assert not update.retryable
    assert "n1 does not see" in update.detail
