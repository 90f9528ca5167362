"""`memory` by its name: tasks end as a function of the test says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import batchcore as bc
from batchcore.backend import RunContext, TaskSubmission
from batchcore.errors import SettingsError
from batchcore.plan import plan_job
from batchcore.states import FailureReason, TaskState
from batchcore.testing import (
    FakeClock,
    MemoryBackend,
    Outcome,
    diamond,
    execute,
    failing,
    hello,
    many,
    succeed,
    take_machine,
)
from batchcore.testing.memory_service import create
from batchcore.testing.memory_settings import MemorySettings


def flaky(task, attempt):
    """Fail the first attempt of every task."""
    return Outcome(exit_code=3, stderr=b"no luck\n") if attempt == 1 else succeed(task, attempt)


def out_of_memory(_task, _attempt):
    """Fail for want of memory."""
    return Outcome(exit_code=137, reason=FailureReason.OUT_OF_MEMORY)


def forgetful(_task, _attempt):
    """Return nothing at all."""


Go = Callable[..., bc.Run]


@pytest.fixture
def run(tmp_path: Path) -> Go:
    """Return a function that runs a job on `memory` with a behaviour of this module."""

    def go(job: bc.Job, behaviour: object = succeed, **options: object) -> bc.Run:
        name = f"behaviour={behaviour.__module__}:{behaviour.__qualname__}"
        directory = tmp_path / "run"
        return job.run(backend="memory", settings=[name], directory=directory, **options)

    return go


def test_by_default_every_task_succeeds_and_leaves_its_id(run: Go) -> None:
    ended = run(diamond())
    assert {task.id: task.state for task in ended.tasks} == dict.fromkeys(
        ["top", "left", "right", "bottom"], TaskState.SUCCEEDED
    )
    assert [file.read_bytes() for file in ended.output_files] == [
        task.id.encode() for task in ended.tasks
    ]


def test_a_function_says_what_becomes_of_each_attempt(run: Go) -> None:
    job = bc.Job("flaky").with_task("a", command="work", outputs=["out"], retries=1)
    ended = run(job, flaky)
    assert (ended.state, ended.task("a").attempt) == ("succeeded", 2)


def test_a_function_may_fail_a_task_for_any_reason(run: Go) -> None:
    assert run(hello(), out_of_memory).task("hello").reason is FailureReason.OUT_OF_MEMORY


def test_a_reason_may_be_given_by_its_name() -> None:
    assert Outcome(reason="timeout").reason is FailureReason.TIMEOUT
    with pytest.raises(ValueError, match="bad luck"):
        Outcome(reason="bad luck")


def test_a_function_that_says_nothing_is_named(run: Go) -> None:
    with pytest.raises(SettingsError, match="returned NoneType for the task 'hello'"):
        run(hello(), forgetful)


def test_a_command_runs_where_the_function_says_so(run: Go) -> None:
    ended = run(hello(), execute)
    assert (ended.log("hello"), ended.output_files[0].read_bytes()) == (b"hello\n", b"hello\n")


def test_what_a_command_writes_to_stderr_says_why_it_failed(run: Go) -> None:
    task = run(failing(7), execute).task("failing")
    assert (task.exit_code, task.detail) == (7, "no luck")


def test_a_task_whose_machine_is_taken_ends_as_preempted(tmp_path: Path) -> None:
    backend = MemoryBackend(lambda *_: Outcome(polls=100), FakeClock())
    context = RunContext(run_id="taken", plan=plan_job(many(2)), directory=tmp_path)
    backend.submit(context, [TaskSubmission(task, 1) for task in context.plan.tasks])
    backend.poll(context, "", 0)
    take_machine("taken", "task-1")
    ends = [u for u in backend.poll(context, "", 0).updates if u.state.final]
    assert [(u.task_id, u.reason) for u in ends] == [("task-1", FailureReason.PREEMPTED)]
    backend.release(context, dry_run=False)


def test_no_more_tasks_run_than_there_are_slots(tmp_path: Path) -> None:
    backend = MemoryBackend(lambda *_: Outcome(polls=2), FakeClock(), slots=2)
    context = RunContext(run_id="slots", plan=plan_job(many(5)), directory=tmp_path)
    backend.submit(context, [TaskSubmission(task, 1) for task in context.plan.tasks])
    running = [u for u in backend.poll(context, "", 0).updates if u.state is TaskState.RUNNING]
    assert len(running) == 2
    backend.release(context, dry_run=False)


def test_a_run_that_was_released_is_forgotten(tmp_path: Path) -> None:
    backend = MemoryBackend()
    context = RunContext(run_id="released", plan=plan_job(hello()), directory=tmp_path)
    backend.submit(context, [TaskSubmission(context.plan.tasks[0], 1)])
    assert backend.poll(context, "", 0).updates
    backend.release(context, dry_run=False)
    assert not backend.poll(context, "", 0).updates


def test_another_backend_knows_what_has_ended(tmp_path: Path) -> None:
    context = RunContext(run_id="ended", plan=plan_job(hello()), directory=tmp_path)
    first, second = MemoryBackend(), MemoryBackend()
    submission = TaskSubmission(context.plan.tasks[0], 1)
    first.submit(context, [submission])
    first.poll(context, "", 0)
    second.submit(context, [submission])
    assert second.poll(context, "", 0).updates[0].state is TaskState.SUCCEEDED
    assert second.executions == []
    second.release(context, dry_run=False)


def test_closing_ends_what_runs_as_a_lost_machine_does(tmp_path: Path) -> None:
    job = bc.Job("long").with_task("a", command=["sleep", "600"])
    context = RunContext(run_id="closed", plan=plan_job(job), directory=tmp_path)
    submission = TaskSubmission(context.plan.tasks[0], 1)
    backend = MemoryBackend(execute)
    backend.submit(context, [submission])
    backend.poll(context, "", 0)
    backend.close()
    assert backend.poll(context, "", 0).updates[-1].reason is FailureReason.NODE_LOST
    backend.release(context, dry_run=False)


def test_release_finds_the_command_of_a_killed_process(tmp_path: Path) -> None:
    job = bc.Job("orphan").with_task("a", command=["sleep", "600"])
    context = RunContext(run_id="orphan", plan=plan_job(job), directory=tmp_path)
    killed, next_one = (create(MemorySettings(behaviour="batchcore.testing:execute")) for _ in "ab")
    killed.submit(context, [TaskSubmission(context.plan.tasks[0], 1)])
    killed.poll(context, "", 0)
    listed = next_one.release(context, dry_run=True)
    assert [line.split()[0] for line in listed] == ["processes", "directory"]
    assert next_one.release(context, dry_run=False) == listed
    assert next_one.release(context, dry_run=False) == []
    killed.close()


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("nowhere_at_all:f", "cannot be imported"),
        ("batchcore.testing:nothing", "cannot be imported"),
        ("batchcore.backend:API_VERSION", "is int and no function"),
        ("succeed", "behaviour"),
    ],
)
def test_a_behaviour_that_is_none_is_refused(behaviour: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        hello().run(backend="memory", settings=[f"behaviour={behaviour}"])
