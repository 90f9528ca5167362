"""Which tasks of a run get new attempts, and what stays as it ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcore.driver import Driver
from batchcore.errors import JobError, NotFound, UsageError
from batchcore.life.retry import reopen_chosen, tasks_to_retry
from batchcore.model import Dependency, Job, Task
from batchcore.plan import PlannedTask
from batchcore.record import Record, TaskRow
from batchcore.run import Run
from batchcore.states import FailureReason, TaskState

FAILED, CANCELED, SUCCEEDED = TaskState.FAILED, TaskState.CANCELED, TaskState.SUCCEEDED
EXIT, DEPENDENCY = FailureReason.EXIT_CODE, FailureReason.DEPENDENCY


def tasks(**depends_on: str) -> list[PlannedTask]:
    """Return tasks; each waits for those whose ids are in the words after its own."""
    return [
        PlannedTask(
            id=task_id,
            command=("true",),
            depends_on=tuple(Dependency(task=cause) for cause in words.split()),
        )
        for task_id, words in depends_on.items()
    ]


def rows(**ends: Any) -> dict[str, TaskRow]:
    """Return rows that ended so: a state, or the reason of a failure."""
    return {
        task_id: TaskRow(position=number, id=task_id, state=end)
        if isinstance(end, TaskState)
        else TaskRow(position=number, id=task_id, state=FAILED, reason=end)
        for number, (task_id, end) in enumerate(ends.items())
    }


PLAIN = tasks(a1="", a2="", b="", c="", d="")
ENDED = rows(a1=EXIT, a2=FailureReason.TIMEOUT, b=SUCCEEDED, c=CANCELED, d=TaskState.PENDING)


@pytest.mark.parametrize(
    ("patterns", "reasons", "chosen"),
    [
        ((), (), "a1 a2"),
        (("a1",), (), "a1"),
        (("a*",), (), "a1 a2"),
        (("a*",), ("timeout",), "a2"),
        ((), ("timeout", "exit_code"), "a1 a2"),
        ((), ("canceled",), "c"),
        (("*",), (), "a1 a2 c"),
        (("*",), ("exit_code",), "a1"),
        (("b", "d"), (), ""),
        ((), ("quota",), ""),
    ],
)
def test_failed_tasks_are_chosen_and_canceled_ones_where_they_are_named(
    patterns: tuple[str, ...], reasons: tuple[str, ...], chosen: str
) -> None:
    assert tasks_to_retry(PLAIN, ENDED, patterns, reasons) == set(chosen.split())


def test_a_pattern_without_a_task_names_the_nearest_id() -> None:
    with pytest.raises(NotFound) as caught:
        tasks_to_retry(PLAIN, ENDED, ["a1", "a22"])
    assert (caught.value.exit_code, caught.value.error_code) == (5, "BC5001")
    assert caught.value.hint == 'did you mean "a2"?'


def test_an_unknown_reason_names_the_nearest_one() -> None:
    with pytest.raises(UsageError, match="'exitcode'") as caught:
        tasks_to_retry(PLAIN, ENDED, (), ["exitcode"])
    assert caught.value.hint == 'did you mean "exit_code"?'


def test_what_failed_by_its_dependency_goes_with_it() -> None:
    chain = tasks(a="", b="a", c="b", x="", y="x")
    ends = rows(a=EXIT, b=DEPENDENCY, c=DEPENDENCY, x=EXIT, y=DEPENDENCY)
    assert tasks_to_retry(chain, ends, ["a"]) == {"a", "b", "c"}
    assert tasks_to_retry(chain, ends) == {"a", "b", "c", "x", "y"}


def test_what_waits_for_another_failure_too_stays() -> None:
    both = tasks(a="", x="", c="a x")
    ends = rows(a=EXIT, x=FailureReason.TIMEOUT, c=DEPENDENCY)
    assert tasks_to_retry(both, ends, (), ["timeout"]) == {"x"}


def test_a_named_task_whose_dependency_stays_failed_is_refused() -> None:
    chain, ends = tasks(a="", b="a", c="b"), rows(a=EXIT, b=DEPENDENCY, c=DEPENDENCY)
    with pytest.raises(UsageError, match="'b' cannot run again: it waits for 'a'") as caught:
        tasks_to_retry(chain, ends, ["b"])
    assert caught.value.hint == "run that one again too: add --task a"


@given(
    st.lists(
        st.tuples(st.sampled_from([EXIT, SUCCEEDED, CANCELED]), st.sets(st.integers(0, 7))),
        min_size=1,
        max_size=8,
    )
)
def test_what_is_chosen_can_start_and_has_not_succeeded(drawn: list[Any]) -> None:
    words = [
        " ".join(f"t{n}" for n in sorted(causes) if n < i) for i, (_, causes) in enumerate(drawn)
    ]
    plan = tasks(**{f"t{i}": text for i, text in enumerate(words)})
    ends: dict[str, Any] = {}
    for task, (end, _) in zip(plan, drawn, strict=True):
        bad = any(ends[link.task] is not SUCCEEDED for link in task.depends_on)
        ends[task.id] = DEPENDENCY if bad else end
    chosen = tasks_to_retry(plan, rows(**ends))
    left = {task_id for task_id, end in ends.items() if end is not SUCCEEDED} - chosen
    assert {task_id for task_id, end in ends.items() if end is EXIT} <= chosen
    for task in plan:
        if task.id in chosen:
            assert not left & {link.task for link in task.depends_on}


class Failing:
    """A run in the world whose tasks have failed, and what another command does with it."""

    def __init__(self, world: Any, job: Job) -> None:
        self.world = world
        self.run = world.drive(job)

    def again(self, *patterns: str, environ: dict[str, str] | None = None) -> dict[str, str]:
        record = Record.resume(self.run.directory)
        try:
            reopen_chosen(record, patterns, environ=environ or {})
            Driver(record, self.world.backend, clock=self.world.clock).run()
        finally:
            record.close()
        return self.world.states()


@pytest.fixture
def failing(world: Any, flaky: Callable[..., Any]) -> Failing:
    """Two tasks that fail once for good, one of which another one waits for."""
    world.behave(flaky({"a": 1, "x": 1}))
    b = Task("b", command=["true"], depends_on=["a"])
    return Failing(
        world, Job("j", tasks=[Task("a", command=["true"]), b, Task("x", command=["true"])])
    )


def test_the_chosen_ones_run_and_the_others_stay_failed(failing: Failing) -> None:
    assert failing.again("a") == {"a": "succeeded", "b": "succeeded", "x": "failed"}
    attempts = {task.id: task.attempt for task in Run.load(failing.run.directory).tasks}
    assert attempts == {"a": 2, "b": 1, "x": 1}


def test_a_run_that_has_not_ended_goes_on(failing: Failing) -> None:
    record = Record.resume(failing.run.directory)
    (x,) = (row for row in record.rows() if row.id == "x")
    x.state, x.reason = TaskState.PENDING, None
    record.save_again([x])
    record.close()
    assert failing.again("a") == {"a": "succeeded", "b": "succeeded", "x": "succeeded"}


def test_budgets_are_fresh(world: Any, flaky: Callable[..., Any]) -> None:
    world.behave(flaky({"a": 3}))
    failing = Failing(world, Job("j", retries=1, tasks=[Task("a", command=["true"])]))
    assert failing.run.task("a").attempt == 2
    assert failing.again() == {"a": "succeeded"}
    assert failing.run.task("a").attempt == 4


def test_a_secret_that_is_not_set_is_refused_before_a_task_is_touched(
    world: Any, flaky: Callable[..., Any]
) -> None:
    world.behave(flaky({"a": 1}))
    failing = Failing(world, Job("j", tasks=[Task("a", command=["true"], secrets=["TOKEN"])]))
    before = failing.run.tasks
    with pytest.raises(JobError, match="TOKEN"):
        failing.again()
    assert failing.run.tasks == before
    assert failing.again(environ={"TOKEN": "t"}) == {"a": "succeeded"}
