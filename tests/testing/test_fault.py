"""`fault` makes another backend go wrong, and a run ends as if it had not."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from batchcore.backend import RunContext, TaskSubmission
from batchcore.clock import SystemClock
from batchcore.errors import BackendError, JobError, SettingsError
from batchcore.events import Event, Note, TaskChanged
from batchcore.jobfile import dump_job
from batchcore.life.start import Options, drive, prepare
from batchcore.model import Job, Task
from batchcore.plan import plan_job
from batchcore.run import Run
from batchcore.states import FailureReason, TaskState
from batchcore.testing import FakeClock, MemoryBackend, Outcome, failing, hello, many
from batchcore.testing.fault import FaultBackend
from batchcore.testing.fault_settings import FaultSettings, fate

ATTEMPTS = [(f"task-{number}", attempt) for number in range(500) for attempt in (1, 2)]


class HastyClock(SystemClock):
    """The machine's clock, whose hands are moved on where somebody sleeps for longer."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        return super().now() + self._ahead

    def sleep(self, seconds: float) -> None:
        super().sleep(min(seconds, 0.02))
        self._ahead += max(seconds - 0.02, 0.0)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Run]:
    """Return a function that runs a job on `fault`, each time in a new directory."""
    numbers = itertools.count()

    def go(
        job: Job, *settings: str, backend: str = "fault", events: Sequence[Event] | None = None
    ) -> Run:
        directory = tmp_path / f"run-{next(numbers)}"
        options = Options(backend=backend, items=settings, directory=directory)
        observers = [] if events is None else [events.append]
        return drive(prepare(job, options, base=tmp_path), observers, clock=HastyClock())

    return go


def content(run: Run) -> dict[str, bytes]:
    """Return every output by its place."""
    root = run.directory / "outputs"
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize("seed", range(5))
def test_a_run_that_is_interrupted_has_the_results_of_one_that_is_not(run, seed) -> None:
    unlucky = run(many(10), "preempt=0.3", "lose=0.1", "busy=0.1", f"seed={seed}")
    assert unlucky.state == "succeeded"
    assert content(unlucky) == {f"task-{n}/number.txt": f"{n}\n".encode() for n in range(10)}


def test_a_task_that_is_always_preempted_fails_when_its_budget_is_spent(run) -> None:
    ended = run(hello(), "preempt=1", "attempts=99").task("hello")
    assert (ended.state, ended.reason) == (TaskState.FAILED, FailureReason.PREEMPTED)
    assert ended.attempt == 6


def test_a_preempted_task_is_really_stopped(run) -> None:
    job = Job("long").with_task(
        "long",
        shell="test $BATCHCORE_ATTEMPT = 2 || sleep 600; echo >out",
        outputs=["out"],
        grace=0.2,
    )
    assert run(job, "preempt=1", "attempts=1").task("long").attempt == 2


@pytest.mark.parametrize("inner", ["local-process", "memory"])
def test_the_first_attempts_fail_for_want_of_an_image(run, inner) -> None:
    events: list[Event] = []
    ended = run(hello(), "pull_fail=2", f"inner={inner}", events=events)
    assert (ended.state, ended.task("hello").attempt) == ("succeeded", 3)
    seen = [e.reason for e in events if isinstance(e, TaskChanged) and e.reason]
    assert seen == [FailureReason.IMAGE] * 2


class _DeafOnce(MemoryBackend):
    """Does not answer the first time that a task is to be canceled."""

    def __init__(self) -> None:
        super().__init__(lambda *_: Outcome(polls=100))
        self._asked = False

    def cancel(self, run: RunContext, task_ids: Sequence[str]) -> None:
        if not self._asked:
            self._asked = True
            raise BackendError("no answer", transient=True)
        super().cancel(run, task_ids)


def test_a_preemption_that_was_not_accepted_is_tried_again(tmp_path: Path) -> None:
    backend = FaultBackend(FaultSettings(inner="memory", preempt=1.0))
    backend._made = _DeafOnce()
    context = RunContext(run_id="deaf", plan=plan_job(hello()), directory=tmp_path)
    backend.submit(context, [TaskSubmission(context.plan.tasks[0], 1)])
    with pytest.raises(BackendError, match="no answer"):
        backend.poll(context, "", 0)
    told = [backend.poll(context, "", 0).updates[-1].reason for _ in range(3)]
    assert told[-1] is FailureReason.PREEMPTED
    backend.release(context, dry_run=False)
    backend.close()


def test_a_failure_of_the_task_itself_is_told_as_it_is(run) -> None:
    ended = run(failing(7), "busy=0.2").task("failing")
    assert (ended.reason, ended.exit_code) == (FailureReason.EXIT_CODE, 7)


def test_a_busy_backend_costs_time_and_nothing_else(run) -> None:
    events: list[Event] = []
    assert run(many(3), "busy=0.5", "inner=memory", events=events).state == "succeeded"
    told = {event.text.split(";")[0] for event in events if isinstance(event, Note)}
    assert "fault is busy: submit was not answered" in told


def test_an_end_can_be_told_late(tmp_path: Path) -> None:
    clock = FakeClock(SystemClock().now())
    backend = FaultBackend(FaultSettings(inner="memory", delay=60.0), clock)
    context = RunContext(run_id="late", plan=plan_job(hello()), directory=tmp_path)
    backend.submit(context, [TaskSubmission(context.plan.tasks[0], 1)])
    early = [update.state for update in backend.poll(context, "", 0).updates]
    assert early == [TaskState.QUEUED, TaskState.RUNNING]
    clock.sleep(90)
    assert backend.poll(context, "", 0).updates[-1].state is TaskState.SUCCEEDED
    backend.release(context, dry_run=False)
    backend.close()


def test_a_task_that_somebody_cancels_ends_as_canceled_whatever_was_to_happen(
    tmp_path: Path,
) -> None:
    backend = FaultBackend(FaultSettings(inner="memory", preempt=1.0))
    context = RunContext(run_id="canceled", plan=plan_job(hello()), directory=tmp_path)
    backend.submit(context, [TaskSubmission(context.plan.tasks[0], 1)])
    backend.cancel(context, ["hello"])
    assert backend.poll(context, "", 0).updates[-1].state is TaskState.CANCELED
    backend.release(context, dry_run=False)
    backend.close()


def test_a_killed_controller_changes_nothing_of_what_happens(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(dump_job(many(3)))
    command = [sys.executable, "-m", "batchcore", "run", "job.json", "--dir", "run", "--json"]
    command += ["--backend", "fault", "--set", "preempt=1", "--set", "attempts=1"]
    killed = {**os.environ, "BATCHCORE_CRASH_AT": "poll.received:2"}
    first = subprocess.run(command, cwd=tmp_path, env=killed, capture_output=True, check=False)
    assert first.returncode == -signal.SIGKILL
    second = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    tasks = json.loads(second.stdout)["tasks"]
    assert [(task["state"], task["attempt"]) for task in tasks] == [("succeeded", 2)] * 3


def test_what_an_earlier_process_stopped_is_not_stopped_again_in_a_later_attempt(
    tmp_path: Path,
) -> None:
    memory = MemoryBackend(lambda *_: Outcome(polls=1000), clock=FakeClock())
    plan = plan_job(Job("job", tasks=[Task("t", command=["work"])]))
    context = RunContext(run_id="run-1", plan=plan, directory=tmp_path, store="")
    settings = FaultSettings(inner="memory", preempt=1.0, attempts=1)

    def poll(backend: FaultBackend) -> list[TaskState]:
        backend._made = memory
        return [update.state for update in backend.poll(context, "", 0).updates]

    first = FaultBackend(settings, FakeClock())
    first._made = memory
    first.submit(context, [TaskSubmission(plan.tasks[0], 1)])
    poll(first)
    poll(first)
    first.submit(context, [TaskSubmission(plan.tasks[0], 2)])
    second = FaultBackend(settings, FakeClock())
    poll(second)
    assert poll(second)[-1] is TaskState.RUNNING
    memory.release(context, dry_run=False)


def test_the_backend_inside_has_its_own_settings(run) -> None:
    job = Job(
        "inside",
        tasks=[Task("a", command=["/program"])],
        backend_options={"local-process": {"image_paths": {"/program": "/bin/true"}}},
    )
    assert run(job).state == "succeeded"


def test_what_the_backend_inside_cannot_do_is_refused(run) -> None:
    job = Job("secret", tasks=[Task("a", command="true", secrets=["TOKEN"])])
    with pytest.raises(JobError, match="memory cannot do what secrets asks for"):
        run(job, "inner=memory")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("inner=fault",), "another backend than fault"),
        (("preempt=0.6", "lose=0.5"), "more than 1 together"),
        (("preempt=1.5",), "at most 1"),
        (("preemt=0.5",), "preempt"),
    ],
)
def test_settings_that_make_no_sense_are_refused(run, settings, message) -> None:
    with pytest.raises(SettingsError, match=message):
        run(hello(), *settings)


def test_a_changed_setting_is_a_new_run(tmp_path: Path) -> None:
    stems = set()
    for seed in ("seed=1", "seed=2", "seed=1"):
        prepared = prepare(hello(), Options(backend="fault", items=(seed,)), base=tmp_path)
        prepared.backend.close()
        stems.add(prepared.run_id.rpartition("-")[0])
    assert len(stems) == 2


def test_the_same_seed_gives_the_same_luck_and_another_one_another() -> None:
    def luck(seed: int) -> list[object]:
        settings = FaultSettings(preempt=0.3, seed=seed)
        return [fate(settings, *each) for each in ATTEMPTS]

    assert luck(1) == luck(1) != luck(2)


def test_shares_are_kept() -> None:
    settings = FaultSettings(preempt=0.3, lose=0.1)
    fates = [fate(settings, *each) for each in ATTEMPTS]
    assert 250 < fates.count(FailureReason.PREEMPTED) < 350
    assert 60 < fates.count(FailureReason.NODE_LOST) < 140


def test_later_attempts_are_left_alone() -> None:
    settings = FaultSettings(preempt=1.0, pull_fail=1, attempts=2)
    fates = [fate(settings, "a", attempt) for attempt in (1, 2, 3)]
    assert fates == [FailureReason.IMAGE, FailureReason.PREEMPTED, None]
