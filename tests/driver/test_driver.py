"""What a run promises, shown with a backend in memory and a clock that nobody waits for."""

from __future__ import annotations

from itertools import pairwise

import pytest
from msgspec.structs import replace

from batchcore.driver import CANCEL_SECONDS, Driver
from batchcore.driver.schedule import Schedule
from batchcore.errors import BackendError, Detached
from batchcore.events import Note, RunEnded, TaskChanged, Tick
from batchcore.model import Dependency, Job, Output, Resource, Task
from batchcore.plan import plan_job
from batchcore.record import TaskRow
from batchcore.record.requests import request_cancel
from batchcore.run import Run
from batchcore.states import FailureReason, TaskState
from batchcore.testing.memory import MemoryBackend, Outcome, succeed


def job_of(*tasks: Task, **fields) -> Job:
    return Job("job", command=["work"], tasks=tasks, **fields)


def one(task_id: str, **fields) -> Task:
    return Task(task_id, outputs=[Output("out", to=f"{task_id}.out")], **fields)


def chain() -> Job:
    return job_of(one("a"), one("b", depends_on=["a"]), one("c", depends_on=["b"]))


def test_every_output_is_published_under_its_name(world):
    run = world.drive(job_of(one("a"), one("b")))
    assert [path.read_text() for path in run.output_files] == ["a", "b"]


def test_states_are_told_in_order(world):
    world.drive(job_of(one("a")))
    told = [event.new for event in world.events if isinstance(event, TaskChanged)]
    assert told == [TaskState.QUEUED, TaskState.RUNNING, TaskState.SUCCEEDED]


def test_the_end_of_the_run_is_told_with_its_counts(world, flaky):
    world.behave(flaky({"b": 9}))
    world.drive(job_of(one("a"), one("b")))
    end = world.events[-1]
    assert isinstance(end, RunEnded)
    assert (end.state, end.succeeded, end.failed) == ("failed", 1, 1)


def test_a_missing_required_output_is_a_failure_that_names_what_was_left(world):
    world.behave(lambda _task, _attempt: Outcome(files={"oops": b""}))
    task = world.drive(job_of(one("a"))).task("a")
    assert task.reason is FailureReason.OUTPUT_MISSING
    assert "'out' was not written; the task left 'oops'" in task.detail


def test_success_without_exit_code_0_is_not_believed(world):
    world.behave(lambda _task, _attempt: Outcome(exit_code=0))

    class Lying(type(world.backend)):
        def poll(self, run, cursor, wait):
            snapshot = super().poll(run, cursor, wait)
            updates = [
                replace(u, exit_code=None) if u.state is TaskState.SUCCEEDED else u
                for u in snapshot.updates
            ]
            return replace(snapshot, updates=updates)

    world.backend = Lying(succeed, world.clock)
    task = world.drive(job_of(one("a"))).task("a")
    assert (task.state, task.reason) == (TaskState.FAILED, FailureReason.BACKEND)


def test_the_last_line_of_stderr_explains_an_exit_code(world, flaky):
    world.behave(flaky({"a": 1}))
    task = world.drive(job_of(one("a"))).task("a")
    assert (task.exit_code, task.detail) == (3, "no luck")


def test_logs_are_kept_in_the_run_directory(world):
    world.behave(lambda *_: Outcome(files={"out": b""}, stdout=b"hello\n"))
    assert world.drive(job_of(one("a"))).log("a") == b"hello\n"


@pytest.mark.parametrize(("retries", "state"), [(2, "succeeded"), (1, "failed")])
def test_retries_pay_for_the_tasks_own_failures(world, flaky, retries, state):
    world.behave(flaky({"a": 2}))
    assert world.drive(job_of(one("a", retries=retries))).state == state
    assert len(world.backend.executions) == retries + 1


def test_interruptions_have_a_budget_of_their_own(world):
    def behave(task, attempt):
        lost = Outcome(exit_code=None, reason=FailureReason.NODE_LOST)
        return lost if attempt <= 5 else succeed(task, attempt)

    world.behave(behave)
    assert world.drive(job_of(one("a"))).state == "succeeded"
    assert len(world.backend.executions) == 6


def test_interruptions_are_bounded(world):
    world.behave(lambda *_: Outcome(exit_code=None, reason=FailureReason.PREEMPTED))
    task = world.drive(job_of(one("a", interruptions=2, retries=9))).task("a")
    assert (task.attempt, task.reason) == (3, FailureReason.PREEMPTED)


def test_attempts_after_interruptions_wait_longer_each_time(world):
    world.behave(lambda *_: Outcome(exit_code=None, reason=FailureReason.NODE_LOST))
    world.drive(job_of(one("a", interruptions=3)))
    starts = [
        event.at
        for event in world.events
        if isinstance(event, TaskChanged) and event.new is TaskState.RUNNING
    ]
    waits = [later - earlier for earlier, later in pairwise(starts)]
    assert waits == sorted(waits)


def test_what_another_attempt_cannot_mend_is_not_tried_again(world):
    world.behave(lambda *_: Outcome(exit_code=None, reason=FailureReason.IMAGE, retryable=False))
    world.drive(job_of(one("a", retries=5)))
    assert world.backend.executions == [("a", 1)]


def test_every_attempt_is_remembered(world, flaky):
    world.behave(flaky({"a": 2}))
    attempts = world.drive(job_of(one("a", retries=2))).attempts("a")
    assert [attempt["exit_code"] for attempt in attempts] == [3, 3, 0]


def test_outputs_of_a_failed_attempt_are_not_published_when_another_follows(world):
    def behave(task, attempt):
        if attempt == 1:
            return Outcome(exit_code=1, files={"out": b"half", "debug": b"first"})
        return succeed(task, attempt)

    world.behave(behave)
    outputs = [Output("out"), Output("debug", when="failure", required=False)]
    run = world.drive(job_of(Task("a", outputs=outputs, retries=1)))
    assert [path.name for path in run.output_files] == ["out"]
    assert run.output_files[0].read_text() == "a"


def test_outputs_for_failures_are_published_after_the_last_attempt(world):
    world.behave(lambda *_: Outcome(exit_code=1, files={"debug": b"why"}))
    task = world.drive(
        job_of(Task("a", outputs=[Output("debug", when="failure"), Output("out")]))
    ).task("a")
    assert [output.file.read_bytes() for output in task.outputs] == [b"why"]


def test_a_second_task_cannot_replace_the_file_of_a_first(world):
    world.behave(lambda *_: Outcome(files={"part.csv": b"x"}))
    outputs = [Output("*.csv", to="all")]
    run = world.drive(
        job_of(Task("a", outputs=outputs), Task("b", outputs=outputs, depends_on=["a"]))
    )
    assert run.task("b").reason is FailureReason.OUTPUT_UNSAFE
    assert "in the way of what was collected from task 'a'" in run.task("b").detail


def test_a_file_cannot_take_the_place_of_another_tasks_directory(world):
    def behave(task, _attempt):
        return Outcome(files={"x/y.csv": b""} if task.id == "a" else {"x": b""})

    world.behave(behave)
    first = Task("a", outputs=[Output("**/*.csv", to="all")])
    second = Task("b", outputs=[Output("*", to="all")], depends_on=["a"])
    assert world.drive(job_of(first, second)).task("b").reason is FailureReason.OUTPUT_UNSAFE


def test_a_task_starts_after_the_one_it_waits_for(world):
    world.drive(chain())
    assert [task_id for task_id, _ in world.backend.executions] == ["a", "b", "c"]


def test_a_failed_dependency_fails_all_that_wait_for_it(world, flaky):
    world.behave(flaky({"a": 9}))
    run = world.drive(chain())
    assert [run.task(t).reason for t in "abc"] == ["exit_code", "dependency", "dependency"]
    assert run.task("c").detail == "it waits for 'b', which failed"


def test_a_dependency_on_any_end_accepts_a_failure(world, flaky):
    world.behave(flaky({"a": 9}))
    run = world.drive(job_of(one("a"), one("b", depends_on=[Dependency("a", on="any")])))
    assert run.task("b").state is TaskState.SUCCEEDED


def test_fail_fast_starts_nothing_after_a_failure(world, flaky):
    world.behave(flaky({"a": 9}))
    run = world.drive(job_of(one("a"), one("b"), one("c"), max_parallel=1, fail_fast=True))
    assert [task.state.value for task in run.tasks] == ["failed", "canceled", "canceled"]


def test_keep_going_is_the_default(world, flaky):
    world.behave(flaky({"a": 9}))
    run = world.drive(job_of(one("a"), one("b"), max_parallel=1))
    assert run.task("b").state is TaskState.SUCCEEDED


def test_max_parallel_is_never_exceeded(world):
    world.drive(job_of(*(one(f"t{n}") for n in range(20)), max_parallel=3))
    assert world.backend.most_at_once == 3


def test_resources_are_staged_once_for_all_tasks(world):
    shared = Resource("in", text="same")
    world.drive(job_of(*(one(f"t{n}", resources=[shared]) for n in range(3))))
    staged = next(event for event in world.events if type(event).__name__ == "Staged")
    assert (staged.sent, staged.total) == (1, 1)


def test_a_full_success_leaves_nothing_on_the_backend(world):
    world.drive(job_of(one("a")))
    assert world.backend.released


def test_a_failure_keeps_what_a_further_attempt_needs(world, flaky):
    world.behave(flaky({"a": 9}))
    world.drive(job_of(one("a")))
    assert not world.backend.released


class Failing:
    """Wraps a backend whose `method` fails `times` times."""

    def __init__(self, backend, method: str, times: int, *, transient: bool = True) -> None:
        self._backend, self._method, self._left, self._transient = backend, method, times, transient

    def __getattr__(self, name: str):
        value = getattr(self._backend, name)
        if name != self._method:
            return value

        def call(*args, **kwargs):
            if self._left:
                self._left -= 1
                raise BackendError("the service hiccups", transient=self._transient)
            return value(*args, **kwargs)

        return call


@pytest.mark.parametrize("method", ["store", "submit", "poll", "outputs", "settle"])
def test_a_transient_error_is_outlived(world, method):
    world.backend = Failing(world.backend, method, times=3)
    assert world.drive(job_of(one("a"))).state == "succeeded"


@pytest.mark.parametrize("method", ["store", "submit", "poll", "outputs", "settle"])
def test_a_lasting_error_ends_the_command_and_the_same_command_goes_on(world, method):
    service = world.backend
    world.backend = Failing(service, method, times=99)
    with pytest.raises(BackendError, match="hiccups"):
        world.drive(job_of(one("a")))
    world.backend = service
    assert world.drive(job_of(one("a"))).state == "succeeded"
    assert service.executions == [("a", 1)]


def test_an_error_that_is_not_transient_is_not_repeated(world):
    world.backend = Failing(world.backend, "submit", times=1, transient=False)
    with pytest.raises(BackendError):
        world.drive(job_of(one("a")))
    assert world.clock.slept == []


def test_who_leaves_at_a_hiccup_does_not_wait_before(world):
    world.backend = Failing(world.backend, "poll", times=99)

    def leave_at_a_note(event):
        if isinstance(event, Note):
            driver.detach(130)

    driver = world.driver(job_of(one("a")), leave_at_a_note)
    with pytest.raises(Detached):
        driver.run()
    assert world.clock.slept == []


def leave_after(driver: Driver, ends: int):
    """Return an observer that detaches a driver after some tasks have ended."""
    seen = []

    def observe(event):
        if isinstance(event, TaskChanged) and event.new.final:
            seen.append(event)
            if len(seen) == ends:
                driver.detach(130)

    return observe


def test_a_detached_run_is_continued_without_running_anything_twice(world):
    job = job_of(*(one(f"t{n}") for n in range(6)), max_parallel=2)
    driver = world.driver(job)
    driver._announcer._observers.add(leave_after(driver, 2))
    with pytest.raises(Detached, match="Detached"):
        driver.run()
    world.record.close()
    run = world.drive(job)
    assert run.state == "succeeded"
    assert sorted(world.backend.executions) == [(f"t{n}", 1) for n in range(6)]


def test_submitting_alone_leaves_what_waits_to_the_next_command(world):
    driver = world.driver(chain())
    driver.submit_only()
    world.record.close()
    assert world.backend.executions == [("a", 1)]
    assert world.states() == {"a": "queued", "b": "pending", "c": "pending"}
    assert world.drive(chain()).state == "succeeded"
    assert world.backend.executions == [("a", 1), ("b", 1), ("c", 1)]


def test_submitting_alone_ends_a_run_of_which_nothing_is_left(world):
    world.drive(job_of(one("a")))
    world.driver(job_of(one("a"))).submit_only()
    world.record.close()
    assert Run.load(world.directory).has_ended


def test_a_finished_run_is_answered_at_once(world):
    world.drive(job_of(one("a")))
    world.drive(job_of(one("a")))
    assert world.backend.executions == [("a", 1)]


def test_running_a_failed_run_again_tries_only_what_failed(world, flaky):
    world.behave(flaky({"b": 1}))
    assert world.drive(job_of(one("a"), one("b"))).state == "failed"
    assert world.drive(job_of(one("a"), one("b"))).state == "succeeded"
    assert world.backend.executions == [("a", 1), ("b", 1), ("b", 2)]


def test_a_result_that_somebody_deleted_is_made_again(world):
    run = world.drive(job_of(one("a"), one("b")))
    run.output_files[0].unlink()
    world.drive(job_of(one("a"), one("b")))
    assert world.backend.executions == [("a", 1), ("b", 1), ("a", 2)]


def test_a_cancel_request_ends_running_and_waiting_tasks(world):
    world.behave(lambda task, attempt: Outcome(polls=1000))
    job = job_of(one("a"), one("b", depends_on=["a"]))

    def on_event(event):
        if isinstance(event, TaskChanged) and event.new is TaskState.RUNNING:
            request_cancel(world.directory, [])

    driver = world.driver(job, on_event)
    assert driver.run() == "canceled"
    world.record.close()
    assert world.states() == {"a": "canceled", "b": "canceled"}


def test_the_driver_itself_cancels_all_tasks(world):
    world.behave(lambda *_: Outcome(polls=1000))
    job = job_of(one("a"), one("b", depends_on=["a"]))

    def on_event(event):
        if isinstance(event, TaskChanged) and event.new is TaskState.RUNNING:
            driver.cancel(130)

    driver = world.driver(job, on_event)
    assert driver.run() == "canceled"
    assert world.states() == {"a": "canceled", "b": "canceled"}


def test_a_cancel_that_the_backend_does_not_carry_out_is_left_in_time(world):
    class Deaf(MemoryBackend):
        def cancel(self, run, task_ids):
            pass

    world.backend = Deaf(lambda *_: Outcome(polls=100_000), world.clock)

    def on_event(event):
        if isinstance(event, TaskChanged) and event.new is TaskState.RUNNING:
            driver.cancel(143)

    job = job_of(one("a", grace=30.0))
    driver, begun = world.driver(job, on_event), world.clock.now()
    with pytest.raises(Detached) as left:
        driver.run()
    assert left.value.signal_exit == 143
    assert CANCEL_SECONDS + 30 <= world.clock.now() - begun <= CANCEL_SECONDS + 60


def test_one_task_can_be_canceled_alone(world):
    def behave(task, attempt):
        return Outcome(polls=1000) if task.id == "a" else succeed(task, attempt)

    world.behave(behave)

    def on_event(event):
        if isinstance(event, TaskChanged) and event.new is TaskState.RUNNING:
            request_cancel(world.directory, ["a"])

    driver = world.driver(job_of(one("a"), one("b")), on_event)
    driver.run()
    world.record.close()
    assert world.states() == {"a": "canceled", "b": "succeeded"}


def test_canceling_what_has_ended_changes_nothing(world):
    run = world.drive(job_of(one("a")))
    run.cancel()
    assert world.drive(job_of(one("a"))).state == "succeeded"


def test_cancel_only_stops_what_runs_and_starts_nothing(world):
    world.behave(lambda *_: Outcome(polls=1000))
    job = job_of(one("a"), one("b"), max_parallel=1)
    driver = world.driver(job)
    driver._announcer._observers.add(
        lambda event: (
            isinstance(event, TaskChanged) and event.new is TaskState.RUNNING and driver.detach(130)
        )
    )
    with pytest.raises(Detached):
        driver.run()
    world.record.close()
    Run.load(world.directory).cancel()
    world.driver(job).cancel_only()
    world.record.close()
    assert world.states() == {"a": "canceled", "b": "canceled"}
    assert world.backend.executions == [("a", 1)]


def test_updates_of_an_earlier_attempt_are_not_believed(world, flaky):
    world.behave(flaky({"a": 1}))
    service = world.backend

    class Repeating(type(service)):
        def poll(self, run, cursor, wait):
            return super().poll(run, "", wait)

    world.backend = Repeating(flaky({"a": 1}), world.clock)
    assert world.drive(job_of(one("a", retries=1))).task("a").attempt == 2


def test_the_loop_asks_less_often_while_nothing_changes(world):
    world.behave(lambda task, _attempt: Outcome(polls=30, files={"out": b""}))
    world.drive(job_of(one("a")))
    assert world.clock.slept[1] < 2 < max(world.clock.slept) <= 15 * 1.2


def test_a_broken_observer_changes_nothing(world, caplog):
    def observer(_event):
        raise ValueError("broken")

    driver = world.driver(job_of(one("a")), observer)
    assert driver.run() == "succeeded"
    world.record.close()
    assert "an observer failed" in caplog.text


def damage_the_record(run: Run) -> None:
    for path in run.directory.glob("run.db*"):
        path.write_bytes(b"damaged")


def test_a_record_that_is_lost_is_rebuilt_and_nothing_runs_again(world):
    run = world.drive(job_of(one("a"), one("b")))
    before = run.report()
    damage_the_record(run)
    again = world.drive(job_of(one("a"), one("b")))
    assert list(run.directory.glob("run.db.corrupt-*"))
    assert world.backend.executions == [("a", 1), ("b", 1)]
    assert [t.outputs for t in again.tasks] == [t.outputs for t in before.tasks]


def test_what_the_manifest_does_not_name_is_asked_of_the_backend(world):
    run = world.drive(job_of(one("a"), one("b")))
    damage_the_record(run)
    lines = (run.directory / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    (run.directory / "manifest.jsonl").write_bytes(lines[0] + lines[1][:20])
    assert world.drive(job_of(one("a"), one("b"))).state == "succeeded"
    assert world.backend.executions == [("a", 1), ("b", 1), ("b", 1)]


def test_a_task_that_can_never_start_is_told_with_its_reason(world, flaky):
    world.behave(flaky({"a": 9}))
    world.drive(chain())
    told = [e for e in world.events if isinstance(e, TaskChanged) and e.task_id == "b"]
    assert (told[-1].new, told[-1].reason) == (TaskState.FAILED, FailureReason.DEPENDENCY)


def test_time_without_news_is_told_so_that_a_display_can_say_it_lives(world):
    world.behave(lambda task, _attempt: Outcome(polls=5, files={"out": b""}))
    world.drive(job_of(one("a")))
    assert any(isinstance(event, Tick) for event in world.events)


def test_an_end_that_is_told_twice_is_one_end(world, flaky):
    class Stuttering(type(world.backend)):
        def poll(self, run, cursor, wait):
            snapshot = super().poll(run, cursor, wait)
            return replace(snapshot, updates=[u for u in snapshot.updates for _ in range(2)])

    world.backend = Stuttering(flaky({"a": 1}), world.clock)
    assert world.drive(job_of(one("a", retries=3))).state == "succeeded"
    assert world.backend.executions == [("a", 1), ("a", 2)]


def test_what_a_failed_attempt_published_is_taken_away_by_a_good_one(world):
    def behave(task, attempt):
        left = {"x/y.txt": b"bad", "z.txt": b"bad"} if attempt == 1 else {"x": b"good"}
        return Outcome(exit_code=1 if attempt == 1 else 0, files=left)

    world.behave(behave)
    job = job_of(Task("a", outputs=[Output("**", to="out", when="always")]))
    assert world.drive(job).state == "failed"
    run = world.drive(job)
    outputs = run.directory / "outputs"
    assert [p.relative_to(outputs).as_posix() for p in outputs.rglob("*")] == ["out", "out/x"]


def test_what_a_failed_attempt_published_goes_where_the_next_one_never_starts(world):
    world.behave(lambda *_: Outcome(exit_code=1, files={"debug": b"bad"}))
    job = job_of(Task("a", outputs=[Output("debug", when="failure")]))
    world.drive(job)
    driver = world.driver(job)
    request_cancel(world.directory, ["a"])
    assert driver.run() == "canceled"
    world.record.close()
    assert not list((world.directory / "outputs").rglob("*"))


def test_an_attempt_that_waits_for_its_time_takes_no_place_from_the_next_command(world):
    def behave(task, attempt):
        if (task.id, attempt) == ("a", 1):
            return Outcome(exit_code=None, reason=FailureReason.NODE_LOST)
        return replace(succeed(task, attempt), polls=3)

    world.behave(behave)
    job = job_of(one("a"), one("b"), max_parallel=1)

    def leave_while_b_runs(event):
        if isinstance(event, TaskChanged) and (event.task_id, event.new) == ("b", "running"):
            driver.detach(130)

    driver = world.driver(job, leave_while_b_runs)
    with pytest.raises(Detached):
        driver.run()
    world.record.close()
    assert world.states() == {"a": "queued", "b": "running"}
    assert world.drive(job).state == "succeeded"
    assert world.backend.most_at_once == 1


def test_fail_fast_is_not_forgotten_by_the_command_that_goes_on(world, flaky):
    world.behave(flaky({"a": 9}))
    job = job_of(one("a"), one("b"), one("c"), max_parallel=1, fail_fast=True)
    driver = world.driver(job)
    driver._announcer._observers.add(leave_after(driver, 1))
    with pytest.raises(Detached):
        driver.run()
    world.record.close()
    assert [t.state.value for t in world.drive(job).tasks] == ["failed", "canceled", "canceled"]


def test_canceling_one_task_without_a_controller_starts_no_other(world):
    world.behave(lambda *_: Outcome(polls=1000))
    job = job_of(one("a"), one("b"))
    driver = world.driver(job)
    driver._announcer._observers.add(
        lambda event: (
            isinstance(event, TaskChanged) and event.new is TaskState.RUNNING and driver.detach(130)
        )
    )
    with pytest.raises(Detached):
        driver.run()
    world.record.close()
    Run.load(world.directory).cancel(["a"])
    world.backend = type(world.backend)(lambda *_: Outcome(polls=1000), world.clock)
    world.driver(job).cancel_only(["a"])
    world.record.close()
    assert [task_id for task_id, _ in world.backend.executions] == ["a"]


def test_a_reduce_over_many_tasks_starts_after_the_last():
    tasks = [one(f"t{n}") for n in range(3000)]
    reduce = one("sum", depends_on=[task.id for task in tasks])
    rows = {t.id: TaskRow(position=n, id=t.id) for n, t in enumerate([*tasks, reduce])}
    plan = plan_job(job_of(*tasks, reduce))
    schedule = Schedule(plan.tasks, rows)
    schedule.take(0.0, 3000)
    for task in tasks:
        rows[task.id].state = TaskState.SUCCEEDED
        assert schedule.ended(task.id) == []
    assert schedule.take(0.0, 10) == ["sum"]


def test_a_long_chain_behind_a_failure_ends_without_recursion(world, flaky):
    world.behave(flaky({"t0": 9}))
    links = [one(f"t{n}", depends_on=[f"t{n - 1}"] if n else []) for n in range(1500)]
    run = world.drive(job_of(*links))
    assert run.tasks[-1].reason is FailureReason.DEPENDENCY
