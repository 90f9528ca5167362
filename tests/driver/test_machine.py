"""Runs on which anything happens at any moment, and what holds of each of them all the time.

Controllers come, die at any point and leave; calls fail; answers are late, mixed and repeated;
attempts end in every way; tasks are canceled and tried again. The driver, the record and the
backend in memory are real, the clock is not.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from batchcore import crash
from batchcore.cli.execute import exit_code
from batchcore.driver import Driver, Policy, finish
from batchcore.driver.drive import read_manner, save_manner
from batchcore.errors import BackendError, Detached, UsageError
from batchcore.events import Event, Observers
from batchcore.life.retry import reopen_chosen
from batchcore.model import Dependency, Job, Output, Task
from batchcore.plan import PlannedTask, plan_job
from batchcore.record import Header, Record, TaskRow
from batchcore.record.requests import forget_requests, request_cancel
from batchcore.record.resume import reopen
from batchcore.run import Run
from batchcore.states import Budget, FailureReason, TaskState, budget_of
from batchcore.testing.fault_settings import FaultSettings

from .controller import Controller
from .service import ENDS, TEMPERS, Key, PausingClock, Service

SUCCEEDED, FAILED, CANCELED = TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELED
MANY_POINTS = 4000
CODES = {"succeeded": 0, "failed": 3, "canceled": 4}
COMMANDS = ["run", "run", "wait", "retry", "submit"]
METHODS = ["store", "submit", "poll", "cancel", "settle"]
FAULTS = FaultSettings(preempt=0.3, lose=0.2, attempts=2)

names = st.sampled_from([f"t{number}" for number in range(5)])
some = st.lists(names, max_size=2, unique=True)
ends = st.sampled_from(sorted(ENDS))
fates = st.sampled_from([None, "well", "well", *sorted(ENDS)])


@st.composite
def jobs(draw: Any) -> Job:
    """Return a job of a few tasks that wait for each other."""
    tasks: list[Task] = []
    for number in range(draw(st.integers(2, 5))):
        before = [task.id for task in tasks]
        causes = draw(st.lists(st.sampled_from(before), max_size=2, unique=True)) if before else []
        task = Task(
            f"t{number}",
            command=["work"],
            depends_on=[
                Dependency(cause, on=draw(st.sampled_from(["success", "any"]))) for cause in causes
            ],
            outputs=[
                Output("out", to=f"t{number}/out"),
                Output("debug", to=f"t{number}/debug", when="failure", required=False),
            ],
            retries=draw(st.integers(0, 2)),
            interruptions=draw(st.integers(0, 2)),
            timeout=draw(st.sampled_from([None, 20])),
        )
        tasks.append(task)
    return Job(
        "job",
        tasks=tasks,
        max_parallel=draw(st.sampled_from([None, 1, 2])),
        fail_fast=draw(st.booleans()),
    )


class AnyRun(RuleBasedStateMachine):
    """One run from its first command until all that is left of it has ended."""

    controller: Controller | None = None
    at_work: Driver | None = None

    @initialize(
        job=jobs(),
        slots=st.sampled_from([None, 1]),
        faults=st.sampled_from([None, None, FAULTS]),
        tempers=st.lists(st.sampled_from(TEMPERS), min_size=1, max_size=3),
        fates=st.lists(fates, min_size=2, max_size=8),
    )
    def begin(
        self,
        job: Job,
        slots: int | None,
        faults: FaultSettings | None,
        tempers: list[str],
        fates: list[str | None],
    ) -> None:
        """Make a world with nothing in it."""
        self.place = Path(tempfile.mkdtemp())
        self.directory = self.place / "run"
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(crash, "reach", lambda _point: self.pause())
        self.patch.setattr(finish, "publish", self._publishing(finish.publish))
        self.clock = PausingClock(self.pause)
        self.faults = faults
        self.service = Service(
            self.pause,
            self.clock,
            slots=slots,
            faults=faults,
            tempers=tempers,
            fates=fates,
            on_new=self.look_at_a_start,
        )
        plan = plan_job(job, base=self.place)
        self.tasks = {task.id: task for task in plan.tasks}
        self.policy = Policy(max_parallel=job.max_parallel, fail_fast=job.fail_fast)
        self.header = Header(
            run_id="run-1",
            backend="memory",
            created_at=0.0,
            version="0",
            spec_hash=plan.spec_hash,
            job=job,
            plan=plan,
        )
        self.ended: dict[str, TaskRow] = {}
        self.places: dict[str, int] = {}
        self.first: dict[str, int] = dict.fromkeys(self.tasks, 1)
        self.numbers: dict[str, int] = dict.fromkeys(self.tasks, 0)
        self.stopped: dict[str, int] = {}
        self.canceled: set[str] = set()
        self.published: set[Key] = set()
        self.start(self.run)

    # What the commands do.

    def pause(self) -> None:
        """Stop the controller where it is."""
        if self.controller:
            self.controller.pause()

    def start(self, command: Callable[[], object]) -> None:
        """Be a new process."""
        self.service.begin()
        self.published = set()
        self.at_work = None
        self.controller = Controller(command)

    def driver(self, record: Record, policy: Policy) -> Driver:
        """Return what every command makes of an open record."""
        self.at_work = Driver(
            record,
            self.service,
            policy=policy,
            observers=Observers([self.observe]),
            clock=self.clock,
            chance=random.Random(7),
        )
        return self.at_work

    def observe(self, _event: Event) -> None:
        """Stop at all that is told."""
        self.pause()

    def run(self, *, submit_only: bool = False) -> str:
        """Do what `run` does, or `submit` on a remote backend."""
        record = Record.create(self.directory, self.header)
        try:
            save_manner(record, self.policy, cwd=str(self.place))
            if record.has_ended:
                again = {FAILED, CANCELED}
                self.give_again(row.id for row in record.rows() if row.state in again)
            reopen(record)
            driver = self.driver(record, self.policy)
            return driver.submit_only() or "" if submit_only else driver.run()
        finally:
            record.close()

    def wait(self) -> str:
        """Do what `wait` does where nobody drives the run."""
        record = Record.resume(self.directory)
        try:
            if record.has_ended:
                return record.meta("state")
            manner = read_manner(record)
            reopen(record)
            return self.driver(record, manner.policy if manner else self.policy).run()
        finally:
            record.close()

    def retry(self, wanted: list[str]) -> str:
        """Do what `retry` does."""
        record = Record.resume(self.directory)
        try:
            rows = {row.id: row for row in record.rows()}
            chosen = reopen_chosen(record, wanted, environ={})
            self.look_at_a_choice(rows, chosen, wanted)
            self.give_again(chosen)
        finally:
            record.close()
        return self.wait()

    def cancel(self, wanted: list[str]) -> None:
        """Do what `cancel` does where nobody drives the run."""
        record = Record.resume(self.directory)
        try:
            if record.has_ended:
                forget_requests(self.directory)
            else:
                self.driver(record, Policy()).cancel_only(wanted)
        finally:
            record.close()

    def give_again(self, task_ids: Iterable[str]) -> None:
        """Note that these tasks get a fresh start, as somebody wants it."""
        for task_id in task_ids:
            row = self.ended.pop(task_id, None)
            self.first[task_id] = (row.attempt if row else self.numbers[task_id]) + 1
            self.stopped.pop(task_id, None)

    # What may happen.

    @property
    def is_begun(self) -> bool:
        return hasattr(self, "directory") and (self.directory / "job.json").exists()

    @property
    def is_driven(self) -> bool:
        return self.controller is not None

    def known(self, task_ids: Iterable[str]) -> list[str]:
        return [task_id for task_id in task_ids if task_id in self.tasks]

    @rule(command=st.sampled_from(COMMANDS), wanted=some)
    @precondition(lambda self: not self.is_driven)
    def somebody_comes(self, command: str, wanted: list[str]) -> None:
        wanted = self.known(wanted)
        commands: dict[str, Callable[[], object]] = {
            "run": self.run,
            "submit": lambda: self.run(submit_only=True),
            "wait": self.wait,
            "retry": lambda: self.retry(wanted),
        }
        self.start(commands[command if self.is_begun else "run"])

    @rule(wanted=some, times=st.integers(0, 2))
    @precondition(lambda self: self.is_begun)
    def somebody_cancels(self, wanted: list[str], times: int) -> None:
        if times:  # seldom, as hardly anything happens after it
            return
        wanted = self.known(wanted)
        self.canceled.update(wanted or self.tasks)
        request_cancel(self.directory, wanted)
        if not self.is_driven:
            self.start(lambda: self.cancel(wanted))

    @rule(points=st.integers(1, 5))
    @precondition(lambda self: self.is_driven)
    def the_controller_takes_a_step(self, points: int) -> None:
        self.go_on(points)

    @rule(points=st.integers(6, 40))
    @precondition(lambda self: self.is_driven)
    def the_controller_goes_on(self, points: int) -> None:
        self.go_on(points)

    @rule()
    @precondition(lambda self: self.is_driven)
    def the_controller_goes_far(self) -> None:
        self.go_on(200)

    def go_on(self, points: int) -> None:
        assert self.controller
        self.controller.go_on(points)
        if self.controller.has_ended:
            self.take_leave()

    @rule()
    @precondition(lambda self: self.is_driven)
    def the_controller_dies(self) -> None:
        assert self.controller
        self.controller.kill()
        self.controller = None

    @rule()
    @precondition(lambda self: self.is_driven and self.at_work)
    def the_controller_is_told_to_leave(self) -> None:
        assert self.controller
        assert self.at_work
        self.at_work.detach(130)
        self.controller.go_on(MANY_POINTS)
        assert self.controller.has_ended, "it does not leave"
        self.take_leave()

    def take_leave(self) -> None:
        """Accept of a command that has ended what it may end with."""
        assert self.controller
        error, self.controller = self.controller.error, None
        if error is not None and not isinstance(error, (Detached, BackendError, UsageError)):
            raise error

    @rule(number=st.integers(0, 4), how=ends)
    def an_attempt_ends(self, number: int, how: str) -> None:
        running = [held for held in self.service.attempts.values() if held.runs]
        if running:
            running[number % len(running)].end(how)

    @rule(seconds=st.sampled_from([0.5, 10, 100]))
    def time_passes(self, seconds: float) -> None:
        self.clock._now += seconds

    @rule(
        method=st.sampled_from(METHODS),
        times=st.integers(1, 7),
        late=st.booleans(),
        transient=st.sampled_from([True, True, False]),
    )
    def the_next_calls_fail(self, method: str, times: int, late: bool, transient: bool) -> None:
        self.service.fail(method, times=times, late=late, transient=transient)

    @rule(task_id=names, times=st.integers(1, 7))
    def files_cannot_be_reached(self, task_id: str, times: int) -> None:
        self.service.lose_outputs(task_id, times)

    @rule(seed=st.integers(0, 1000), polls=st.integers(1, 4))
    def answers_are_late_mixed_and_repeated(self, seed: int, polls: int) -> None:
        self.service.be_whimsical(seed, polls)

    # What holds.

    def _publishing(self, publish: Callable[..., None]) -> Callable[..., None]:
        """Look at each file before it is put in its place."""

        def look(fetched: Any, outputs: Path) -> None:
            rows = self.rows()
            for file in fetched.files:
                row = rows[file.to.partition("/")[0]]
                assert not row.state.final, f"{file.to} is published after its task has ended"
                assert (file.to, row.attempt) not in self.published, f"{file.to} comes twice"
                self.published.add((file.to, row.attempt))
            publish(fetched, outputs)

        return look

    def rows(self) -> dict[str, TaskRow]:
        """Read the record, as anybody may at any time."""
        record = Record.read(self.directory, whole=False)
        try:
            return {row.id: row for row in record.rows()}
        finally:
            record.close()

    def look_at_a_start(self, key: Key) -> None:
        """Hold an attempt that is submitted for the first time against all that came before."""
        task_id, attempt = key
        rows, task = self.rows(), self.tasks[task_id]
        assert rows[task_id].attempt == attempt, f"{key} is not in the record"
        for link in task.depends_on:
            state = rows[link.task].state
            assert state.final, f"{key} starts before {link.task} has ended"
            if link.on == "success":
                assert state is SUCCEEDED, f"{key} starts though {link.task} {state}"
        earlier = [number for name, number in self.service.submitted if name == task_id]
        assert attempt > max(earlier, default=0), f"{key} after {earlier}"
        if earlier:
            assert self.service.told[task_id, earlier[-1]], f"{key} beside {earlier[-1]}"
        tries = 1 + sum(number >= self.first[task_id] for number in earlier)
        assert tries <= 1 + task.retries + task.interruptions, f"{key} is one too many"

    def look_at_a_choice(
        self, rows: dict[str, TaskRow], chosen: Iterable[str], wanted: list[str]
    ) -> None:
        """Hold what `retry` gives new attempts against what somebody wanted."""
        for task_id in chosen:
            row = rows[task_id]
            assert row.state in {FAILED, CANCELED}, f"{task_id} {row.state}"
            named = task_id in wanted if wanted else row.state is FAILED
            assert named or row.reason is FailureReason.DEPENDENCY, f"nobody wants {task_id}"

    @invariant()
    def what_has_ended_stays_as_it_is(self) -> None:
        if not self.is_begun:
            return
        for row in self.rows().values():
            before = self.ended.get(row.id, row)
            assert row == before, "an end has changed"
            if row.state.final:
                self.ended[row.id] = row

    @invariant()
    def no_budget_is_exceeded(self) -> None:
        if not self.is_begun:
            return
        limit = self.policy.max_parallel or len(self.tasks)
        assert self.service.memory.most_at_once <= limit
        run = Run.load(self.directory)
        with run._record(whole=False) as record:
            for row in record.rows():
                assert row.attempt >= self.numbers[row.id], f"{row.id} counts backwards"
                self.numbers[row.id] = row.attempt
                ends = [
                    end["reason"]
                    for end in record.attempts(row.id)
                    if self.first[row.id] <= end["attempt"] < row.attempt
                ]
                paid = [budget_of(reason) for reason in ends if reason]
                assert len(paid) == len(ends), f"{row.id} was tried again without a failure"
                task = self.tasks[row.id]
                assert paid.count(Budget.RETRIES) <= task.retries
                assert paid.count(Budget.INTERRUPTIONS) <= task.interruptions
                assert Budget.NONE not in paid

    @invariant()
    def what_is_canceled_gets_no_further_attempt(self) -> None:
        if not self.is_begun:
            return
        for row in self.rows().values():
            if row.canceling:
                first = self.stopped.setdefault(row.id, row.attempt)
                assert row.attempt == first, f"{row.id} is tried again though it was canceled"

    @invariant()
    def results_are_those_of_the_attempt_that_succeeded(self) -> None:
        if not self.is_begun:
            return
        for row in self.rows().values():
            place = self.directory / "outputs" / row.id
            if (place / "out").exists():
                self.look_at_an_output(row, place / "out")
            else:
                assert row.state is not SUCCEEDED, f"the output of {row.id} is missing"
            if (place / "debug").exists():
                assert row.state is not SUCCEEDED, f"{row.id} has a file of a failure"
                number = int((place / "debug").read_text().partition(" ")[2])
                is_last = number == row.attempt or number < self.first[row.id]
                assert is_last, f"{row.id} has a file of a failure that another attempt followed"

    def look_at_an_output(self, row: TaskRow, place: Path) -> None:
        """Hold a result against the ends that were told of the attempt that made it."""
        task_id, _, number = place.read_text().partition(" ")
        told = {end.state for end in self.service.told[task_id, int(number)]}
        assert task_id == row.id
        assert SUCCEEDED in told, f"the output of {row.id} is that of a failed attempt"
        if row.state is SUCCEEDED:
            assert int(number) == row.attempt, f"the output of {row.id} is of another attempt"
            inode = self.places.setdefault(row.id, place.stat().st_ino)
            assert place.stat().st_ino == inode, f"the output of {row.id} was published twice"

    # How it must end.

    def teardown(self) -> None:
        """Let everything end, and look at the end."""
        if not hasattr(self, "place"):
            return
        try:
            if self.controller:
                self.the_controller_dies()
            self.service.calm()
            self.service.set_free()
            if self.is_begun:
                self.look_at_the_end(self.end_by(self.wait))
            state = self.end_by(self.run)
            self.look_at_the_end(state)
            if self.faults is None and not list((self.directory / "requests").glob("*")):
                self.look_at_success(state)
        finally:
            self.patch.undo()
            shutil.rmtree(self.place)
            memory = fsspec.filesystem("memory")
            if memory.exists("/batchcore"):
                memory.rm("/batchcore", recursive=True)

    def end_by(self, command: Callable[[], str]) -> str:
        """Do a command to its end, with all that holds in between."""
        self.start(command)
        assert self.controller
        self.controller.go_on(MANY_POINTS)
        assert self.controller.has_ended, "the run does not end"
        state, error, self.controller = self.controller.answer, self.controller.error, None
        if error:
            raise error
        assert isinstance(state, str)
        return state

    def look_at_the_end(self, state: str) -> None:
        """Hold the states of all tasks against each other, and the exit against them."""
        self.what_has_ended_stays_as_it_is()
        self.no_budget_is_exceeded()
        self.results_are_those_of_the_attempt_that_succeeded()
        rows = self.rows()
        states = {row.state for row in rows.values()}
        expected = FAILED if FAILED in states else CANCELED if CANCELED in states else SUCCEEDED
        assert state == Run.load(self.directory).state == expected.value
        assert exit_code(state) == CODES[state]
        for row in rows.values():
            self.look_at_one_end(row, rows)

    def look_at_one_end(self, row: TaskRow, rows: dict[str, TaskRow]) -> None:
        """Say why a task ended so."""
        task = self.tasks[row.id]
        blocked = any(
            link.on == "success" and rows[link.task].state is not SUCCEEDED
            for link in task.depends_on
        )
        if blocked:
            assert row.state is CANCELED or row.reason is FailureReason.DEPENDENCY
        if row.state is CANCELED:
            assert row.id in self.canceled or self.policy.fail_fast, f"nobody canceled {row.id}"
        elif row.state is FAILED and row.reason is FailureReason.DEPENDENCY:
            assert blocked
        elif row.state is FAILED:
            self.look_at_a_failure(row, task)
        else:
            assert row.state is SUCCEEDED

    def look_at_a_failure(self, row: TaskRow, task: PlannedTask) -> None:
        """Find a failure for which no budget had another attempt."""
        assert row.reason
        budget = budget_of(row.reason)
        spent = {
            Budget.RETRIES: row.retries >= task.retries,
            Budget.INTERRUPTIONS: row.interruptions >= task.interruptions,
            Budget.NONE: True,
        }
        told = self.service.told[row.id, row.attempt]
        for_good = any(not end.retryable for end in told)
        assert spent[budget] or for_good or row.id in self.canceled
        found = {end.reason for end in told} | {FailureReason.OUTPUT_MISSING}
        assert row.reason in found

    def look_at_success(self, state: str) -> None:
        """After one more command with nothing in its way all is done, and nothing is left."""
        assert state == "succeeded"
        assert not fsspec.filesystem("memory").exists("/batchcore/run-1")


AnyRun.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, derandomize=True
)
test_any_run = pytest.mark.timeout(600)(AnyRun.TestCase)
