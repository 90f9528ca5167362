"""Which task may start, and what an end means for it and for those that wait."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from batchcore.driver.schedule import Ending, Schedule, backoff, may_retry, next_attempt
from batchcore.model import Dependency
from batchcore.plan import PlannedTask
from batchcore.record import TaskRow
from batchcore.states import Budget, FailureReason, TaskState, budget_of, can_move

SUCCEEDED, FAILED, CANCELED = TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELED


class Plan:
    """Tasks by what they wait for, their rows, and the schedule of them."""

    def __init__(self, links: dict[str, list[str | Dependency]], **states: TaskState) -> None:
        self.tasks = [
            PlannedTask(
                id=id_,
                command=("x",),
                depends_on=tuple(Dependency(d) if isinstance(d, str) else d for d in on),
            )
            for id_, on in links.items()
        ]
        self.rows = {
            id_: TaskRow(position=n, id=id_, state=states.get(id_, TaskState.PENDING))
            for n, id_ in enumerate(links)
        }
        self.schedule = Schedule(self.tasks, self.rows)

    def take(self, now: float = 0.0, limit: int = 99) -> list[str]:
        return self.schedule.take(now, limit)

    def end(self, task_id: str, state: TaskState = SUCCEEDED) -> list[str]:
        self.rows[task_id].state = state
        return self.schedule.ended(task_id)


def anyway(task_id: str) -> Dependency:
    return Dependency(task_id, "any")


CHAIN: dict[str, Any] = {"a": [], "b": ["a"], "c": ["b"]}
DIAMOND: dict[str, Any] = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


def test_tasks_start_in_the_order_of_the_job() -> None:
    assert Plan({"c": [], "a": [], "b": []}).take() == ["c", "a", "b"]


@pytest.mark.parametrize(("limit", "taken"), [(2, ["a", "b"]), (0, []), (-3, [])])
def test_no_more_are_taken_than_asked_for(limit: int, taken: list[str]) -> None:
    plan = Plan({"a": [], "b": [], "c": []})
    assert plan.take(limit=limit) == taken
    assert plan.take() == [id_ for id_ in "abc" if id_ not in taken]


def test_a_task_is_taken_once() -> None:
    plan = Plan({"a": []})
    assert plan.take() == ["a"]
    assert plan.take() == []


def test_a_chain_starts_link_by_link() -> None:
    plan = Plan(CHAIN)
    order = []
    while taken := plan.take():
        order.append(taken)
        for task_id in taken:
            assert plan.end(task_id) == []
    assert order == [["a"], ["b"], ["c"]]
    assert plan.schedule.exhausted


def test_the_end_of_a_diamond_waits_for_both_sides() -> None:
    plan = Plan(DIAMOND)
    plan.take()
    plan.end("a")
    assert plan.take() == ["b", "c"]
    plan.end("b")
    assert plan.take() == []
    plan.end("c")
    assert plan.take() == ["d"]


@pytest.mark.parametrize("state", [FAILED, CANCELED])
def test_what_waits_for_a_success_is_blocked_by_another_end(state: TaskState) -> None:
    plan = Plan(CHAIN)
    plan.take()
    assert plan.end("a", state) == ["b"]
    assert plan.schedule.blocked_by("b") == "a"
    assert plan.end("b", FAILED) == ["c"]
    assert plan.take() == []
    assert plan.schedule.exhausted


@pytest.mark.parametrize("state", [SUCCEEDED, FAILED, CANCELED])
def test_what_waits_for_any_end_starts_after_each(state: TaskState) -> None:
    plan = Plan({"a": [], "report": [anyway("a")]})
    plan.take()
    assert plan.end("a", state) == []
    assert plan.take() == ["report"]


def test_one_bad_end_blocks_a_diamond_once_and_at_once() -> None:
    plan = Plan(DIAMOND)
    plan.take()
    plan.end("a")
    plan.take()
    assert plan.end("b", FAILED) == ["d"]
    assert plan.end("c", FAILED) == []


def test_a_dependency_that_is_named_twice_counts_once() -> None:
    plan = Plan({"a": [], "b": ["a", anyway("a")]})
    plan.take()
    assert plan.end("a", FAILED) == ["b"]
    assert plan.schedule.exhausted


def test_a_delayed_task_waits_for_its_time() -> None:
    plan = Plan({"a": [], "b": []})
    plan.take()
    plan.schedule.put_back("a", 20.0)
    plan.schedule.put_back("b", 10.0)
    assert plan.schedule.next_time() == 10.0
    assert plan.take(now=9.9) == []
    assert plan.take(now=10.0) == ["b"]
    assert not plan.schedule.exhausted
    assert plan.take(now=99.0) == ["a"]
    assert plan.schedule.next_time() is None
    assert plan.schedule.exhausted


def test_a_task_that_ended_while_it_waited_is_not_started() -> None:
    plan = Plan({"a": [], "b": []})
    plan.rows["a"].state = CANCELED
    assert plan.take() == ["b"]


# Going on with what an earlier command began.


def test_what_has_ended_is_not_started_again() -> None:
    plan = Plan(CHAIN, a=SUCCEEDED)
    assert plan.take() == ["b"]


def test_what_an_earlier_end_blocks_is_told_once() -> None:
    plan = Plan({**DIAMOND, "e": []}, a=FAILED)
    assert sorted(plan.schedule.blocked_from_the_start()) == ["b", "c"]
    assert plan.schedule.blocked_from_the_start() == []
    assert plan.end("b", FAILED) == ["d"]
    assert plan.end("c", FAILED) == []
    assert plan.take() == ["e"]


def test_what_is_blocked_by_an_earlier_and_by_a_later_end_is_told_once() -> None:
    # d waits for a, which has failed, and for b, which can never start because of a.
    plan = Plan({"a": [], "b": ["a"], "d": ["a", "b"]}, a=FAILED)
    blocked = plan.schedule.blocked_from_the_start()
    assert sorted(blocked) == ["b", "d"]
    assert plan.end("b", FAILED) == []


def test_what_waits_for_any_end_is_not_blocked_by_an_earlier_one() -> None:
    plan = Plan({"a": [], "b": [anyway("a")]}, a=FAILED)
    assert plan.schedule.blocked_from_the_start() == []
    assert plan.take() == ["b"]


def test_dropping_returns_what_had_not_been_taken() -> None:
    plan = Plan({"a": [], "b": [], "c": ["a"], "d": []})
    assert plan.take(limit=1) == ["a"]
    assert plan.schedule.drop(["a", "c", "d", "nobody"]) == ["d", "c"]
    assert plan.take() == ["b"]
    assert plan.schedule.exhausted


def test_what_waits_for_its_time_can_be_dropped() -> None:
    plan = Plan({"a": []})
    plan.take()
    plan.schedule.put_back("a", 5.0)
    assert plan.schedule.drop(["a"]) == ["a"]
    assert plan.schedule.exhausted


# Another attempt.


TASK = PlannedTask(id="a", command=("x",), retries=2, interruptions=3)


def row_of(**fields: Any) -> TaskRow:
    return TaskRow(position=0, id="a", state=FAILED, attempt=1, **fields)


def failed(reason: FailureReason | None, **fields: Any) -> Ending:
    return Ending(state=FAILED, reason=reason, **fields)


@pytest.mark.parametrize(
    ("reason", "spent", "budget"),
    [
        ("exit_code", {}, Budget.RETRIES),
        ("exit_code", {"retries": 1}, Budget.RETRIES),
        ("exit_code", {"retries": 2}, Budget.NONE),
        ("exit_code", {"interruptions": 3}, Budget.RETRIES),
        ("preempted", {"retries": 2}, Budget.INTERRUPTIONS),
        ("preempted", {"interruptions": 2}, Budget.INTERRUPTIONS),
        ("preempted", {"interruptions": 3}, Budget.NONE),
        ("dependency", {}, Budget.NONE),
        ("quota", {}, Budget.NONE),
    ],
)
def test_a_failure_is_repeated_while_its_budget_lasts(
    reason: str, spent: dict[str, int], budget: Budget
) -> None:
    assert may_retry(row_of(**spent), TASK, failed(FailureReason(reason))) is budget


def test_a_failure_without_a_reason_is_the_backends() -> None:
    assert may_retry(row_of(), TASK, failed(None)) is Budget.INTERRUPTIONS


def test_a_failure_that_no_attempt_can_mend_is_not_repeated() -> None:
    ending = failed(FailureReason.IMAGE, retryable=False)
    assert may_retry(row_of(), TASK, ending) is Budget.NONE


def test_a_task_that_is_being_canceled_is_not_repeated() -> None:
    ending = failed(FailureReason.PREEMPTED)
    assert may_retry(row_of(canceling=True), TASK, ending) is Budget.NONE


@pytest.mark.parametrize("state", [SUCCEEDED, CANCELED])
def test_only_a_failure_is_repeated(state: TaskState) -> None:
    assert may_retry(row_of(), TASK, Ending(state=state)) is Budget.NONE


@pytest.mark.parametrize(
    ("budget", "spent"), [(Budget.RETRIES, (1, 0)), (Budget.INTERRUPTIONS, (0, 1))]
)
def test_another_attempt_is_queued_and_paid_for(budget: Budget, spent: tuple[int, int]) -> None:
    row = row_of(submitted_at=1.0, started_at=2.0, ended_at=3.0)
    next_attempt(row, budget)
    assert (row.state, row.attempt) == (TaskState.QUEUED, 2)
    assert (row.retries, row.interruptions) == spent
    assert (row.submitted_at, row.started_at, row.ended_at) == (None, None, None)


def test_a_tasks_own_failure_is_repeated_at_once() -> None:
    assert backoff(row_of(retries=3), Budget.RETRIES, 0.5) == 0.0


@pytest.mark.parametrize(
    ("interruptions", "least", "most"),
    [(1, 1.0, 2.0), (2, 2.0, 4.0), (5, 16.0, 32.0), (6, 30.0, 60.0), (100, 30.0, 60.0)],
)
def test_an_interruption_is_repeated_after_a_growing_bounded_time(
    interruptions: int, least: float, most: float
) -> None:
    row = row_of(interruptions=interruptions)
    assert backoff(row, Budget.INTERRUPTIONS, 0.0) == least
    assert backoff(row, Budget.INTERRUPTIONS, 1.0) == most


# All of it together, against any course of events.


class AnyCourse(RuleBasedStateMachine):
    """Drives tasks as the driver does, with attempts that end in any way and in any order."""

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        ids = [f"t{n}" for n in range(data.draw(st.integers(1, 6), label="tasks"))]
        self.tasks: dict[str, PlannedTask] = {}
        for position, id_ in enumerate(ids):
            links = (
                st.lists(st.sampled_from(ids[:position]), max_size=3) if position else st.just([])
            )
            on = st.sampled_from(["success", "any"])
            self.tasks[id_] = PlannedTask(
                id=id_,
                command=("x",),
                retries=data.draw(st.integers(0, 2)),
                interruptions=data.draw(st.integers(0, 2)),
                depends_on=tuple(Dependency(d, data.draw(on)) for d in data.draw(links)),
            )
        self.rows = {id_: TaskRow(position=n, id=id_) for n, id_ in enumerate(ids)}
        # Some had ended before, as far as that could be: what they wait for had ended too.
        for id_ in ids:
            waits = [self.rows[d.task].state for d in self.tasks[id_].depends_on]
            if all(state.final for state in waits) and data.draw(st.booleans()):
                blocked = any(
                    d.on == "success" and self.rows[d.task].state is not SUCCEEDED
                    for d in self.tasks[id_].depends_on
                )
                ends = [FAILED, CANCELED] if blocked else [SUCCEEDED, FAILED, CANCELED]
                self.rows[id_].state = data.draw(st.sampled_from(ends))
        self.active: set[str] = set()
        self.attempts = dict.fromkeys(ids, 0)
        self.final: dict[str, TaskState] = {}
        self.now = 0.0
        self.schedule = Schedule(self.tasks.values(), self.rows)
        for id_ in self.schedule.blocked_from_the_start():
            self.give_up(id_)

    def move(self, id_: str, state: TaskState) -> None:
        assert can_move(self.rows[id_].state, state), f"{self.rows[id_].state} -> {state}"
        self.rows[id_].state = state

    def give_up(self, id_: str) -> None:
        pending = [id_]
        while pending:
            task_id = pending.pop()
            assert self.schedule.blocked_by(task_id)
            self.move(task_id, FAILED)
            pending += self.schedule.ended(task_id)

    @rule(limit=st.integers(0, 3))
    def start(self, limit: int) -> None:
        taken = self.schedule.take(self.now, limit)
        assert len(taken) <= limit
        for id_ in taken:
            assert id_ not in self.active
            for dependency in self.tasks[id_].depends_on:
                state = self.rows[dependency.task].state
                assert state.final
                assert dependency.on == "any" or state is SUCCEEDED
            row = self.rows[id_]
            if row.state is TaskState.PENDING:
                row.attempt += 1
                self.move(id_, TaskState.QUEUED)
            self.active.add(id_)
            self.attempts[id_] += 1

    @rule(seconds=st.floats(0, 100))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.active)
    @rule(data=st.data())
    def run_on(self, data: st.DataObject) -> None:
        row = self.rows[data.draw(st.sampled_from(sorted(self.active)))]
        onward = [s for s in TaskState if not s.final and can_move(row.state, s)]
        if onward:
            self.move(row.id, data.draw(st.sampled_from(onward)))

    @precondition(lambda self: self.active)
    @rule(data=st.data(), state=st.sampled_from([SUCCEEDED, FAILED, CANCELED]))
    def end(self, data: st.DataObject, state: TaskState) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.active)))
        reason = data.draw(st.sampled_from(list(FailureReason))) if state is FAILED else None
        self.finish(id_, Ending(state=state, reason=reason))

    def finish(self, id_: str, ending: Ending) -> None:
        row = self.rows[id_]
        self.active.discard(id_)
        budget = may_retry(row, self.tasks[id_], ending)
        if budget is not Budget.NONE:
            assert ending.reason is not None
            assert budget is budget_of(ending.reason)
            next_attempt(row, budget)
            self.schedule.put_back(id_, self.now + backoff(row, budget, 0.5))
            return
        self.move(id_, ending.state)
        for blocked in self.schedule.ended(id_):
            self.give_up(blocked)

    @precondition(lambda self: any(not row.state.final for row in self.rows.values()))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        left = [id_ for id_, row in self.rows.items() if not row.state.final]
        wanted = data.draw(st.lists(st.sampled_from(left), unique=True))
        for id_ in wanted:
            self.rows[id_].canceling = True
        for id_ in self.schedule.drop(wanted):
            assert id_ not in self.active
            self.move(id_, CANCELED)
            for blocked in self.schedule.ended(id_):
                self.give_up(blocked)

    @invariant()
    def ends_are_for_ever(self) -> None:
        for id_, row in getattr(self, "rows", {}).items():
            if row.state.final:
                assert self.final.setdefault(id_, row.state) is row.state
                assert id_ not in self.active
            else:
                assert id_ not in self.final

    @invariant()
    def budgets_hold(self) -> None:
        for id_, row in getattr(self, "rows", {}).items():
            task = self.tasks[id_]
            assert row.retries <= task.retries
            assert row.interruptions <= task.interruptions
            assert self.attempts[id_] <= 1 + row.retries + row.interruptions

    def teardown(self) -> None:
        """Every task ends when every attempt does."""
        if not hasattr(self, "rows"):
            return
        for _ in range(200):
            self.now += 1000.0
            self.start(3)
            for id_ in sorted(self.active):
                self.finish(id_, Ending(state=SUCCEEDED, exit_code=0))
            self.ends_are_for_ever()
            if self.schedule.exhausted and not self.active:
                break
        assert {id_: row.state for id_, row in self.rows.items() if not row.state.final} == {}


AnyCourse.TestCase.settings = settings(max_examples=80, stateful_step_count=25, deadline=None)
TestAnyCourse = AnyCourse.TestCase


def test_a_long_chain_falls_without_recursion() -> None:
    count = 20_000
    plan = Plan({f"t{n}": [f"t{n - 1}"] if n else [] for n in range(count)})
    plan.take()
    pending = plan.end("t0", FAILED)
    fallen = 0
    while pending:
        fallen += 1
        pending += plan.end(pending.pop(), FAILED)
    assert fallen == count - 1
