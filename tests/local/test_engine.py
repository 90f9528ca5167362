"""Slots, time limits and bookkeeping, with a runner that the test holds in its hand."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from batchcore.backend import RunContext, TaskSubmission
from batchcore.clock import SystemClock
from batchcore.errors import BackendError, EnvironmentNotReady, TransferError
from batchcore.local.backend import LocalBackend
from batchcore.local.engine import Engine
from batchcore.local.runner import Attempt, Exit
from batchcore.model import Requirements
from batchcore.plan import Plan, PlannedTask
from batchcore.states import FailureReason, TaskState


class HeldRunner:
    """Commands that end when the test says so."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.removed: list[str] = []
        self.stops: list[tuple[str, bool]] = []
        self.slots: dict[str, int] = {}
        self.problem: Exception | None = None
        self._ends: dict[str, Exit] = {}
        self._changed = threading.Condition()
        self._awake = False

    def start(self, attempt: Attempt) -> Exit | None:
        if self.problem is not None:
            raise self.problem
        with self._changed:
            self.started.append(attempt.task.id)
            self.slots[attempt.task.id] = attempt.slot
            self._changed.notify_all()
        return None

    def wait(self, attempt: Attempt, timeout: float | None) -> Exit | None:
        with self._changed:
            self._changed.wait_for(
                lambda: attempt.task.id in self._ends or self._awake, timeout=timeout
            )
            return self._ends.get(attempt.task.id)

    def stop(self, attempt: Attempt, *, kill: bool) -> None:
        with self._changed:
            self.stops.append((attempt.task.id, kill))
            self._changed.notify_all()
        if kill:
            self.end(attempt.task.id, Exit(code=137))

    def remove(self, attempt: Attempt) -> None:
        self.removed.append(attempt.task.id)

    def wake(self) -> None:
        with self._changed:
            self._awake = True
            self._changed.notify_all()

    def close(self) -> None:
        pass

    def end(self, task_id: str, end: Exit) -> None:
        with self._changed:
            self._ends[task_id] = end
            self._changed.notify_all()

    def until_started(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.started) >= count, timeout=20)


@pytest.fixture
def runner() -> HeldRunner:
    return HeldRunner()


@pytest.fixture
def engine(runner: HeldRunner) -> Iterator[Engine]:
    made = Engine(runner, 2, SystemClock(), lambda attempt: attempt.control.mkdir(parents=True))
    yield made
    made.close()


@pytest.fixture
def attempt(tmp_path: Path):
    def make(task_id: str, **fields) -> Attempt:
        task = PlannedTask(id=task_id, command=("true",), **fields)
        place = tmp_path / task_id
        return Attempt(run_id="r", task=task, number=1, directory=place, base=tmp_path)

    return make


def until_trouble(engine):
    """Follow an engine that has something else to tell than updates of tasks."""
    position = 0
    while True:
        updates, position = engine.updates(position, 20)
        assert updates
        assert not any(update.state.final for update in updates)


def until_end(engine: Engine, task_id: str):
    position, seen = 0, []
    while not any(u.task_id == task_id and u.state.final for u in seen):
        updates, position = engine.updates(position, 20)
        assert updates, f"no end of {task_id}"
        seen += updates
    return next(u for u in seen if u.task_id == task_id and u.state.final)


def test_no_more_tasks_run_at_once_than_there_are_slots(engine, runner, attempt):
    engine.submit([attempt(name) for name in "abc"])
    runner.until_started(2)
    assert sorted(runner.started) == ["a", "b"]
    runner.end("a", Exit(code=0))
    runner.until_started(3)
    assert runner.started[2] == "c"


def test_tasks_that_run_together_have_different_slots(engine, runner, attempt):
    engine.submit([attempt(name) for name in "ab"])
    runner.until_started(2)
    assert sorted(runner.slots.values()) == [0, 1]


def test_a_task_that_asks_for_two_processors_takes_two_slots(engine, runner, attempt):
    engine.submit([attempt("wide", requirements=Requirements(cpus=2)), attempt("b")])
    runner.until_started(1)
    assert runner.started == ["wide"]
    runner.end("wide", Exit(code=0))
    runner.until_started(2)


def test_an_end_is_written_down_before_the_runner_forgets_it(engine, runner, attempt):
    made = attempt("a")
    engine.submit([made])
    runner.end("a", Exit(code=3))
    assert until_end(engine, "a").exit_code == 3
    assert (made.control / "exit.json").exists()
    assert runner.removed == ["a"]


@pytest.mark.parametrize(
    ("end", "state", "reason"),
    [
        (Exit(code=0), TaskState.SUCCEEDED, None),
        (Exit(code=1), TaskState.FAILED, FailureReason.EXIT_CODE),
        (Exit(), TaskState.FAILED, FailureReason.BACKEND),
        (Exit(code=137, reason=FailureReason.OUT_OF_MEMORY), TaskState.FAILED, "out_of_memory"),
    ],
)
def test_the_end_of_a_command_becomes_a_state_and_a_reason(
    engine, runner, attempt, end, state, reason
):
    engine.submit([attempt("a")])
    runner.end("a", end)
    told = until_end(engine, "a")
    assert (told.state, told.reason) == (state, reason)


def test_a_time_limit_sends_term_then_kill(engine, runner, attempt):
    engine.submit([attempt("a", timeout=0.05, grace=0.05)])
    told = until_end(engine, "a")
    assert runner.stops == [("a", False), ("a", True)]
    assert (told.reason, told.exit_code) == (FailureReason.TIMEOUT, 137)


def test_canceling_a_waiting_task_ends_it_without_starting_it(engine, runner, attempt):
    engine.submit([attempt(name) for name in "abc"])
    runner.until_started(2)
    engine.cancel(["c"])
    assert until_end(engine, "c").state is TaskState.CANCELED
    assert "c" not in runner.started


def test_canceling_a_running_task_sends_term_then_kill_after_its_grace_time(
    engine, runner, attempt
):
    engine.submit([attempt("a", grace=0.05)])
    runner.until_started(1)
    engine.cancel(["a"])
    assert until_end(engine, "a").state is TaskState.CANCELED
    assert runner.stops == [("a", False), ("a", True)]


def test_canceling_a_task_that_has_ended_changes_nothing(engine, runner, attempt):
    engine.submit([attempt("a")])
    runner.end("a", Exit(code=0))
    until_end(engine, "a")
    engine.cancel(["a", "never-heard-of"])
    assert runner.stops == []


def test_a_cancel_is_for_the_attempts_that_are_known_and_not_for_a_later_one(
    engine, runner, attempt, tmp_path
):
    first = attempt("a", grace=20)
    engine.submit([first])
    runner.until_started(1)
    engine.cancel(["a"])
    runner.end("a", Exit(code=3))
    assert until_end(engine, "a").state is TaskState.CANCELED
    engine.submit([replace(first, number=2, directory=tmp_path / "second")])
    runner.until_started(2)
    told, _ = engine.updates(0, 20)
    while not any(update.attempt == 2 and update.state.final for update in told):
        told, _ = engine.updates(0, 20)
    assert told[-1].state is TaskState.FAILED


def test_a_task_that_finished_well_before_the_cancel_reached_it_has_succeeded(
    engine, runner, attempt
):
    engine.submit([attempt("a", grace=20)])
    runner.until_started(1)
    engine.cancel(["a"])
    runner.end("a", Exit(code=0))
    assert until_end(engine, "a").state is TaskState.SUCCEEDED


@pytest.mark.parametrize(
    "problem", [BackendError("refused"), RuntimeError("a bug")], ids=["refused", "bug"]
)
def test_an_error_ends_the_task_and_not_the_slot(engine, runner, attempt, problem):
    runner.problem = problem
    engine.submit([attempt("a")])
    told = until_end(engine, "a")
    assert (told.reason, told.retryable) == (FailureReason.BACKEND, False)
    runner.problem = None
    engine.submit([attempt("b")])
    runner.until_started(1)


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (BackendError("it stays away", transient=True), BackendError),
        (TransferError("cut", transient=True), TransferError),
        (EnvironmentNotReady("no secret"), EnvironmentNotReady),
        (OSError(errno.ENOSPC, "No space left on device", "/there"), TransferError),
    ],
    ids=["away", "transfer", "environment", "disk"],
)
def test_what_says_nothing_of_the_task_is_handed_on_and_leaves_the_task_alone(
    engine, runner, attempt, problem, kind
):
    runner.problem = problem
    engine.submit([attempt("a")])
    with pytest.raises(kind) as caught:
        until_trouble(engine)
    assert not getattr(caught.value, "transient", False)
    assert (runner.stops, runner.removed) == ([], [])
    runner.problem = None
    engine.submit([attempt("b")])
    assert runner.started == []


def test_close_leaves_running_commands_alone(runner, attempt):
    engine = Engine(runner, 1, SystemClock(), lambda attempt: attempt.control.mkdir(parents=True))
    made = attempt("a")
    engine.submit([made])
    runner.until_started(1)
    engine.close()
    assert runner.stops == []
    assert not (made.control / "exit.json").exists()


def test_a_close_in_the_moment_of_a_cancel_can_join_the_timer(engine, runner, attempt):
    class Joined(list):
        def append(self, killer):
            killer.join(timeout=0)
            super().append(killer)

    engine._killers = Joined()
    engine.submit([attempt("a")])
    runner.until_started(1)
    engine.cancel(["a"])
    runner.end("a", Exit(code=143))
    assert until_end(engine, "a").state is TaskState.CANCELED
    assert runner.stops == [("a", False)]


def test_a_full_disk_is_called_one(engine, runner, attempt):
    runner.problem = OSError(errno.ENOSPC, "No space left on device", "/there")
    engine.submit([attempt("a")])
    with pytest.raises(TransferError, match="the disk is full: /there cannot be written"):
        until_trouble(engine)


def test_a_runner_that_opens_no_shell_has_none(tmp_path):
    task = PlannedTask(id="a", command=("true",))
    plan = Plan(name="p", base="/", spec_hash="", tasks=(task,))
    run = RunContext(run_id="r", plan=plan, directory=tmp_path)
    backend = LocalBackend(HeldRunner())
    assert backend.shell(run, TaskSubmission(task, 1)) is None
    backend.close()
