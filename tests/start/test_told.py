"""What an observer hears of a run: from its driver, and of a driver that leaves."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from batchcore.errors import Detached
from batchcore.events import Event, Observers, RunEnded, RunLeft, RunStarted, TaskChanged
from batchcore.life.follow import Follower
from batchcore.model import Job
from batchcore.report.progress import Tally
from batchcore.run import Run
from batchcore.states import FailureReason, TaskState
from batchcore.testing.clock import FakeClock

RETRIED = "[ -e {0} ] && exit 0; touch {0}; exit 9"


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Tasks that succeed, fail, succeed at the second attempt, and can never start."""
    again = RETRIED.format(tmp_path / "flag")
    job = Job("demo").with_task("good", shell="true").with_task("bad", shell="exit 3")
    job = job.with_task("again", shell=again, retries=1)
    return job.with_task("never", shell="true", depends_on=["bad"])


def run(job: Job, tmp_path: Path, *observers: object) -> Run:
    return job.run("local-process", directory=tmp_path / "run", observers=observers)


def of_task(heard: list[Event], task_id: str) -> list[TaskChanged]:
    return [e for e in heard if isinstance(e, TaskChanged) and e.task_id == task_id]


def test_the_stream_begins_and_ends_with_the_run(job: Job, tmp_path: Path) -> None:
    heard: list[Event] = []
    found = run(job, tmp_path, heard.append)
    first, last = heard[0], heard[-1]
    assert isinstance(first, RunStarted)
    assert (first.run_id, first.tasks, first.directory) == (found.id, 4, str(found.directory))
    assert first.counts == {TaskState.PENDING: 4}
    assert isinstance(last, RunEnded)
    assert (last.succeeded, last.failed) == (2, 2)
    assert [event.at for event in heard] == sorted(event.at for event in heard)


def test_each_change_starts_where_the_last_one_ended(job: Job, tmp_path: Path) -> None:
    heard: list[Event] = []
    run(job, tmp_path, heard.append)
    for task in job.tasks:
        changes = of_task(heard, task.id)
        states = [TaskState.PENDING, *(change.new for change in changes)]
        assert [change.old for change in changes] == states[:-1]


def test_the_end_of_an_attempt_has_the_times_of_the_record(job: Job, tmp_path: Path) -> None:
    heard: list[Event] = []
    found = run(job, tmp_path, heard.append)
    last, task = of_task(heard, "good")[-1], found.task("good")
    assert (last.started_at, last.ended_at) == (task.started_at, task.ended_at)
    assert last.duration == task.duration


def test_a_retried_failure_says_which_attempt_it_was(job: Job, tmp_path: Path) -> None:
    heard: list[Event] = []
    run(job, tmp_path, heard.append)
    (retried,) = [e for e in of_task(heard, "again") if e.reason]
    assert (retried.new, retried.attempt) == (TaskState.QUEUED, 1)
    assert (retried.reason, retried.exit_code) == (FailureReason.EXIT_CODE, 9)
    assert of_task(heard, "again")[-1].attempt == 2
    assert of_task(heard, "again")[0].attempt == 0


def test_counting_the_changes_gives_the_counts_of_the_record(job: Job, tmp_path: Path) -> None:
    driven, followed = Tally(), Tally()
    found = run(job, tmp_path, driven.add)
    Follower(found, Observers([followed.add]), FakeClock()).look()
    there = Counter(task.state for task in found.tasks)
    for tally in (driven, followed):
        assert +Counter(tally.view().counts) == there


def test_who_goes_on_with_a_run_is_told_how_far_it_is(job: Job, tmp_path: Path) -> None:
    heard: list[Event] = []
    run(job, tmp_path)
    run(job, tmp_path, heard.append)
    first = heard[0]
    assert isinstance(first, RunStarted)
    assert first.resumed
    assert first.counts[TaskState.SUCCEEDED] == 2
    assert sum(first.counts.values()) == 4


def test_a_driver_that_is_told_to_leave_says_so(tmp_path: Path) -> None:
    heard: list[Event] = []

    def leave(event: Event) -> None:
        heard.append(event)
        if isinstance(event, TaskChanged) and event.new is TaskState.RUNNING:
            os.kill(os.getpid(), signal.SIGINT)

    slow = Job("demo").with_task("a", shell=f"until [ -e {tmp_path}/gate ]; do sleep 0.1; done")
    with pytest.raises(Detached):
        run(slow, tmp_path, leave)
    (tmp_path / "gate").touch()
    last = heard[-1]
    assert isinstance(last, RunLeft)
    assert not last.failed
    assert last.why.startswith("Detached.")
    run(slow, tmp_path)


def test_a_driver_that_breaks_says_so_too(tmp_path: Path) -> None:
    heard: list[Event] = []

    class Broken(BaseException):
        """What no guard holds back."""

    def breaking(event: Event) -> None:
        heard.append(event)
        if isinstance(event, TaskChanged):
            raise Broken

    with pytest.raises(Broken):
        run(Job("demo").with_task("a", shell="true"), tmp_path, breaking)
    last = heard[-1]
    assert isinstance(last, RunLeft)
    assert (last.why, last.failed) == ("Broken", True)
