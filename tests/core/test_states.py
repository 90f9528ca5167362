"""The states of a task and the moves that are allowed."""

from __future__ import annotations

from itertools import pairwise, product

import pytest

from batchcore.states import Budget, FailureReason, TaskState, budget_of, can_move

WAY = [
    TaskState.PENDING,
    TaskState.QUEUED,
    TaskState.PREPARING,
    TaskState.RUNNING,
    TaskState.FINALIZING,
]
ENDS = [TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELED]


@pytest.mark.parametrize(("old", "new"), list(product(ENDS, TaskState)))
def test_a_final_state_never_changes(old: TaskState, new: TaskState) -> None:
    assert not can_move(old, new)


@pytest.mark.parametrize(("old", "new"), list(product(WAY, ENDS)))
def test_a_task_may_end_from_any_other_state(old: TaskState, new: TaskState) -> None:
    assert can_move(old, new)


@pytest.mark.parametrize(("old", "new"), list(product(WAY, WAY)))
def test_states_move_forward_and_may_be_skipped(old: TaskState, new: TaskState) -> None:
    assert can_move(old, new) is (WAY.index(new) > WAY.index(old))


@pytest.mark.parametrize("state", WAY)
def test_unknown_interrupts_and_ends_nothing(state: TaskState) -> None:
    assert can_move(state, TaskState.UNKNOWN)
    assert can_move(TaskState.UNKNOWN, state)
    assert not can_move(TaskState.UNKNOWN, TaskState.UNKNOWN)
    assert not TaskState.UNKNOWN.final


def test_exactly_three_states_are_final() -> None:
    assert [state for state in TaskState if state.final] == ENDS


def test_the_way_of_a_task_is_the_one_that_the_documents_draw() -> None:
    assert all(can_move(old, new) for old, new in pairwise([*WAY, TaskState.SUCCEEDED]))


@pytest.mark.parametrize(
    ("reason", "budget"),
    [
        ("exit_code", Budget.RETRIES),
        ("start_failed", Budget.RETRIES),
        ("output_missing", Budget.RETRIES),
        ("output_unsafe", Budget.RETRIES),
        ("timeout", Budget.RETRIES),
        ("out_of_memory", Budget.RETRIES),
        ("image", Budget.INTERRUPTIONS),
        ("resource", Budget.INTERRUPTIONS),
        ("output_upload", Budget.INTERRUPTIONS),
        ("preempted", Budget.INTERRUPTIONS),
        ("node_lost", Budget.INTERRUPTIONS),
        ("backend", Budget.INTERRUPTIONS),
        ("dependency", Budget.NONE),
        ("quota", Budget.NONE),
    ],
)
def test_a_failure_is_paid_for_by_whose_fault_it_is(reason: str, budget: Budget) -> None:
    assert budget_of(FailureReason(reason)) is budget


def test_the_reasons_are_a_closed_set() -> None:
    assert {reason.value for reason in FailureReason} == {
        "exit_code",
        "start_failed",
        "image",
        "resource",
        "output_missing",
        "output_unsafe",
        "output_upload",
        "timeout",
        "out_of_memory",
        "preempted",
        "node_lost",
        "dependency",
        "quota",
        "backend",
    }


@pytest.mark.parametrize("reason", list(FailureReason))
def test_every_reason_has_a_budget(reason: FailureReason) -> None:
    assert isinstance(budget_of(reason), Budget)
