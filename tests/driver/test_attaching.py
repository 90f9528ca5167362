"""The copy of ``job.json`` in the store, and a second machine that takes the run up from it."""

from __future__ import annotations

import random
from pathlib import Path

import fsspec
import pytest
from msgspec.structs import replace

from batchcore.backend import TaskUpdate
from batchcore.driver import Driver, Policy
from batchcore.errors import BackendError, Detached
from batchcore.events import Event, Observers, RunStarted
from batchcore.life.attach import rebuild
from batchcore.model import Dependency, Job, Resource, Task
from batchcore.plan import PlannedTask
from batchcore.record import Record, read_header
from batchcore.record.requests import request_cancel
from batchcore.record.rundir import header_of
from batchcore.run import Run
from batchcore.states import TaskState
from batchcore.testing.memory import MemoryBackend, Outcome, succeed
from batchcore.transfer.stage import record_url

STORE = "memory://batchcore/run-1"


def copy() -> bytes | None:
    """Return the copy in the store, None where there is none."""
    memory, path = fsspec.core.url_to_fs(record_url(STORE))
    return memory.cat_file(path) if memory.exists(path) else None


def two(**fields) -> Job:
    tasks = [Task("a", outputs=["out"]), Task("b", outputs=["out"], **fields)]
    return Job("job", command=["work"], tasks=tasks, resources=[Resource("in", text="in")])


def submit(world, job: Job) -> None:
    driver = world.driver(job)
    try:
        driver.submit_only()
    finally:
        world.record.close()


def second_machine(world, directory: Path) -> Run:
    """Take the run up in another directory, and drive it to its end with the same service."""
    rebuild(directory, header_of(copy() or b"", STORE), STORE)
    record = Record.resume(directory)
    try:
        Driver(record, world.backend, clock=world.clock, chance=random.Random(7)).run()
    finally:
        record.close()
    return Run.load(directory)


def test_the_copy_is_job_json_byte_for_byte(world):
    submit(world, two())
    assert copy() == (world.directory / "job.json").read_bytes()


def test_the_copy_is_there_before_the_first_task(world):
    class Looking(MemoryBackend):
        def submit(self, run, tasks):
            assert copy() is not None
            super().submit(run, tasks)

    world.backend = Looking(succeed, world.clock)
    submit(world, two())
    assert len(world.backend.executions) == 2


def test_the_copy_comes_after_the_resources(world):
    class Full(MemoryBackend):
        def filesystem(self, url):
            if "/resources/" in url:
                reason = "the store is full"
                raise BackendError(reason)
            return super().filesystem(url)

    world.backend = Full(succeed, world.clock)
    with pytest.raises(BackendError, match="full"):
        submit(world, two())
    assert copy() is None
    assert Run.load(world.directory).report().store == ""


def test_a_report_has_the_url_of_the_copy(world):
    submit(world, two())
    assert Run.load(world.directory).report().store == STORE


def test_a_run_that_has_begun_is_not_copied_again(world):
    # A task that has ended would run again elsewhere: what its backend knew is cleaned up.
    submit(world, two())
    fsspec.filesystem("memory").rm("/batchcore/run-1/job.json")
    submit(world, two())
    assert copy() is None


def test_what_is_released_after_a_success_is_not_offered(world):
    run = world.drive(two())
    assert copy() is None
    assert run.report().store == ""


def test_another_machine_gets_the_same_results_and_runs_nothing_twice(world, tmp_path):
    submit(world, two())
    run = second_machine(world, tmp_path / "other")
    assert [path.read_text() for path in run.output_files] == ["a", "b"]
    assert sorted(world.backend.executions) == [("a", 1), ("b", 1)]


def test_another_machine_starts_what_nobody_has_started(world, tmp_path):
    submit(world, two(depends_on=[Dependency("a")]))
    assert world.backend.executions == [("a", 1)]
    run = second_machine(world, tmp_path / "other")
    assert run.state == "succeeded"
    assert world.backend.executions == [("a", 1), ("b", 1)]


def test_another_machine_counts_attempts_from_the_first(world, tmp_path, flaky):
    world.behave(flaky({"a": 1}))
    job = Job("job", command=["work"], tasks=[Task("a", outputs=["out"], retries=1)])
    submit(world, job)
    run = second_machine(world, tmp_path / "other")
    assert [attempt["exit_code"] for attempt in run.attempts("a")] == [3, 0]
    assert world.backend.executions == [("a", 1), ("a", 2)]


def test_another_machine_needs_no_source(world, tmp_path):
    source = world.directory.parent / "in.txt"
    source.write_text("in")
    resources = [Resource("in", source="in.txt")]
    submit(world, Job("job", command=["work"], tasks=[Task("a")], resources=resources))
    source.unlink()
    assert second_machine(world, tmp_path / "other").state == "succeeded"


def test_what_the_service_says_of_a_task_is_where_it_is_taken_up(tmp_path, world):
    submit(world, Job("job", command=["work"], tasks=[Task("a"), Task("b"), Task("c")]))
    says = [
        TaskUpdate(task_id="a", attempt=1, state=TaskState.QUEUED),
        TaskUpdate(task_id="a", attempt=1, state=TaskState.RUNNING, started_at=5.0, node="n"),
        TaskUpdate(task_id="b", attempt=1, state=TaskState.FAILED, started_at=5.0, ended_at=7.0),
        TaskUpdate(task_id="b", attempt=2, state=TaskState.RUNNING, started_at=9.0),
    ]
    rebuild(tmp_path / "other", header_of(copy() or b"", STORE), STORE, says)
    a, b, c = Run.load(tmp_path / "other").tasks
    assert (a.state, a.attempt, a.node, a.duration) == (TaskState.RUNNING, 1, "n", None)
    assert (b.state, b.attempt, b.duration) == (TaskState.FINALIZING, 1, 2.0)
    assert (c.state, c.attempt) == (TaskState.PENDING, 0)


def test_what_is_known_here_is_not_taken_up_again(tmp_path, world):
    submit(world, two())
    run = second_machine(world, tmp_path / "other")
    says = [TaskUpdate(task_id="a", attempt=2, state=TaskState.RUNNING)]
    rebuild(run.directory, read_header(run.directory), STORE, says)
    assert run.task("a").state is TaskState.SUCCEEDED


def endless(_task: PlannedTask, _attempt: int) -> Outcome:
    return Outcome(polls=1_000)


def canceled_elsewhere(world, directory: Path, *task_ids: str) -> Run:
    """Take the run up in another directory, and cancel it there before anything else."""
    rebuild(directory, header_of(copy() or b"", STORE), STORE)
    Run.load(directory).cancel(task_ids)
    record = Record.resume(directory)
    try:
        Driver(record, world.backend, clock=world.clock).cancel_only(task_ids)
    finally:
        record.close()
    return Run.load(directory)


def test_a_cancel_elsewhere_stops_what_runs(world, tmp_path):
    world.behave(endless)
    submit(world, two(depends_on=[Dependency("a")]))
    run = canceled_elsewhere(world, tmp_path / "other")
    assert {task.id: (task.state, task.attempt) for task in run.tasks} == {
        "a": (TaskState.CANCELED, 1),
        "b": (TaskState.CANCELED, 0),
    }
    assert world.backend.executions == [("a", 1)]
    assert world.drive(two(depends_on=[Dependency("a")])).task("a").state is TaskState.CANCELED


def test_a_cancel_elsewhere_collects_what_has_ended(world, tmp_path):
    submit(world, two())
    run = canceled_elsewhere(world, tmp_path / "other")
    assert [path.read_text() for path in run.output_files] == ["a", "b"]


def test_a_cancel_elsewhere_leaves_the_other_tasks_alone(world, tmp_path):
    world.behave(endless)
    submit(world, two())
    run = canceled_elsewhere(world, tmp_path / "other", "a")
    assert run.task("a").state is TaskState.CANCELED
    assert run.task("b").state is TaskState.PENDING


def test_a_cancel_elsewhere_stops_the_attempt_that_is_on(world, tmp_path):
    def fails_once(task: PlannedTask, attempt: int) -> Outcome:
        return Outcome(exit_code=3) if attempt == 1 else endless(task, attempt)

    world.behave(fails_once)
    job = Job("job", command=["work"], tasks=[Task("a", retries=1)])
    driver = world.driver(job, lambda _event: driver.detach(130) if second() else None)

    def second() -> bool:
        return ("a", 2) in world.backend.executions

    with pytest.raises(Detached):
        driver.run()
    world.record.close()
    run = canceled_elsewhere(world, tmp_path / "other")
    assert (run.task("a").state, run.task("a").attempt) == (TaskState.CANCELED, 2)


def test_a_cancel_reaches_what_another_machine_submits_meanwhile(world, tmp_path):
    world.behave(endless)
    job = Job("job", command=["work"], tasks=[Task("a"), Task("b")], max_parallel=1)
    submit(world, job)
    assert world.backend.executions == [("a", 1)]
    rebuild(tmp_path / "other", header_of(copy() or b"", STORE), STORE)
    record = Record.resume(tmp_path / "other")

    def meanwhile(event: Event) -> None:
        if isinstance(event, RunStarted):
            request_cancel(tmp_path / "other", [])
            submit(world, replace(job, max_parallel=None))

    policy, observers = Policy(max_parallel=1), Observers([meanwhile])
    driver = Driver(record, world.backend, policy=policy, observers=observers, clock=world.clock)
    try:
        driver.run()
    finally:
        record.close()
    assert world.backend.executions == [("a", 1), ("b", 1)]
    first = world.drive(job)
    assert [task.state for task in first.tasks] == [TaskState.CANCELED, TaskState.CANCELED]


def test_a_run_without_a_second_machine_is_not_asked_for_twice(world):
    class Counting(MemoryBackend):
        polls = 0

        def poll(self, run, cursor, wait):
            self.polls += not cursor
            return super().poll(run, cursor, wait)

    world.backend = Counting(succeed, world.clock)
    world.drive(two())
    assert world.backend.polls == 1


def test_another_machine_leaves_the_copy_alone(world, tmp_path):
    submit(world, two())
    before = copy()
    rebuild(tmp_path / "other", header_of(before or b"", STORE), STORE)
    changed = read_header(tmp_path / "other")
    assert changed == read_header(world.directory)
    fsspec.filesystem("memory").pipe_file("/batchcore/run-1/job.json", b"as it was")
    record = Record.resume(tmp_path / "other")
    try:
        Driver(record, world.backend, clock=world.clock).submit_only()
    finally:
        record.close()
    assert copy() == b"as it was"
