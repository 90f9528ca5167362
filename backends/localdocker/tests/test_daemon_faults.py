"""A daemon that is killed, stopped, full, deaf or gone, while a real job runs on it."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batchcore.cli.edge import call
from batchcore.cli.root import root
from batchcore.cli.session import Session
from batchcore.driver import Driver
from batchcore.errors import BackendError, EnvironmentNotReady, exit_code_of
from batchcore.events import Observer, Observers, TaskChanged
from batchcore.life.start import run_job
from batchcore.local.backend import LocalBackend
from batchcore.model import Job, Task
from batchcore.plan import plan_job
from batchcore.record import Header, Record
from batchcore.record.resume import reopen
from batchcore.run import Run
from batchcore.states import FailureReason, TaskState
from batchcore.testing.clock import FakeClock
from batchcore_localdocker import connection, runner
from batchcore_localdocker.runner import DockerRunner
from batchcore_localdocker.settings import LocalDockerSettings

from .daemon import IMAGE, PrivateDaemon, private_daemon
from .proxy import FaultProxy, fault_proxy

pytestmark = [
    pytest.mark.docker,
    # Docker's SDK leaves a socket to the garbage collector when it cannot connect (docker 7.2).
    pytest.mark.filterwarnings("ignore:.*socket:pytest.PytestUnraisableExceptionWarning"),
]

WAIT_SECONDS = 60
HASTY_SECONDS = 0.5
# A busy machine must still be able to start a task within it.
HASTY_CALL_SECONDS = 3


class Place:
    """A run directory and the jobs that run in it; `hurry` is one command of an impatient user."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def job(self, line: str, **fields: Any) -> Job:
        task = Task("t", shell=f"echo begun; {line}", **fields)
        return Job("job", image=IMAGE, tasks=[task])

    def run(self, job: Job) -> Run:
        return run_job(job, backend="local-docker", directory=self.directory)

    def hurry(self, job: Job, *observers: Observer) -> Run:
        """Run with a patience of half a second instead of minutes, and pauses without length."""
        plan = plan_job(job, base=self.directory.parent)
        header = Header(
            run_id="hurry",
            backend="local-docker",
            created_at=0.0,
            version="0",
            spec_hash=plan.spec_hash,
            job=job,
            plan=plan,
        )
        runner = DockerRunner(LocalDockerSettings(pull="never"), patience=HASTY_SECONDS)
        with (
            closing(Record.create(self.directory, header)) as record,
            closing(LocalBackend(runner, slots=2)) as backend,
        ):
            reopen(record)
            Driver(record, backend, observers=Observers(observers), clock=FakeClock()).run()
        return Run.load(self.directory)

    def begun(self) -> None:
        """Wait until the task's command runs, and is known to."""
        self.log_has("stdout", "begun")
        _until((self.directory / "work/t/1/control/started").exists)

    def log_has(self, stream: str, text: str) -> None:
        """Wait until the task has written this."""
        log = self.directory / f"work/t/1/task/{stream}.txt"
        _until(lambda: log.exists() and text in log.read_text())


def _until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not reached():
        assert time.monotonic() < deadline, "the task does not get there"
        time.sleep(0.02)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "run")


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateDaemon]:
    """A daemon that a test may do anything to."""
    with private_daemon() as made:
        monkeypatch.setenv("DOCKER_HOST", made.host)
        yield made
        gc.collect()


@pytest.fixture
def proxy(daemon: PrivateDaemon, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """What stands between the tasks and a daemon that is well."""
    with fault_proxy(daemon.folder / "proxy.sock", daemon.socket) as made:
        monkeypatch.setenv("DOCKER_HOST", made.host)
        yield made
        made.mend()
        gc.collect()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, empty."""
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture
def beside() -> Iterator[Callable[..., Future[Run]]]:
    """Do something in a thread of its own."""
    with ThreadPoolExecutor() as pool:
        yield pool.submit


def outcome(run: Run) -> tuple[TaskState, int, int | None]:
    task = run.task("t")
    return task.state, task.attempt, task.exit_code


def given_up(running: Future[Run], words: str) -> None:
    """The command ends by itself, with an error that costs the task nothing."""
    with pytest.raises(BackendError, match=words) as caught:
        running.result(WAIT_SECONDS)
    assert exit_code_of(caught.value) == 7


def test_what_a_killed_daemon_took_with_it_runs_again(daemon, place, beside):
    running = beside(place.run, place.job("sleep 3"))
    place.begun()
    daemon.kill()
    daemon.start()
    assert outcome(running.result(WAIT_SECONDS)) == (TaskState.SUCCEEDED, 2, 0)


def test_an_end_while_a_killed_daemon_is_away_is_kept(daemon, place, beside, tmp_path):
    job = place.job("sleep 1; echo ended >&2; exit 5")
    running = beside(place.run, job)
    place.begun()
    daemon.kill()
    place.log_has("stderr", "ended")
    daemon.inside("sleep", "0.5")
    daemon.start()
    assert outcome(running.result(WAIT_SECONDS)) == (TaskState.FAILED, 1, 5)


def test_what_a_stopped_daemon_ended_runs_again(daemon, place, beside):
    running = beside(place.run, place.job("sleep 3"))
    place.begun()
    daemon.restart()
    assert outcome(running.result(WAIT_SECONDS)) == (TaskState.SUCCEEDED, 2, 0)


@pytest.mark.parametrize("way", ["kill", "stop"])
def test_what_a_daemon_ended_while_no_controller_looked_runs_again(daemon, place, here, way):
    task = {"id": "t", "shell": "echo begun; sleep 3"}
    (here / "job.json").write_text(json.dumps({"name": "job", "image": IMAGE, "tasks": [task]}))
    words = ("run", "job.json", "--backend", "local-docker", "--dir", str(place.directory))
    controller = subprocess.Popen([sys.executable, "-m", "batchcore", *words])
    place.begun()
    controller.kill()
    controller.wait()
    getattr(daemon, way)()
    daemon.start()
    assert call(root, Session(words)) == 0
    assert outcome(Run.load(place.directory)) == (TaskState.SUCCEEDED, 2, 0)


def test_a_task_that_kills_itself_under_a_daemon_that_stays_is_to_blame(daemon, place):
    del daemon
    run = place.run(place.job("kill -9 $$"))
    assert outcome(run) == (TaskState.FAILED, 1, 137)


def test_what_a_stopped_daemon_ended_is_paid_for_by_interruptions(daemon, place, beside):
    running = beside(place.run, place.job("sleep 3", retries=3, interruptions=0))
    place.begun()
    daemon.restart()
    task = running.result(WAIT_SECONDS).task("t")
    assert (task.attempt, task.reason) == (1, FailureReason.NODE_LOST)
    assert "daemon went away" in task.detail


@pytest.mark.parametrize("way", ["kill", "stop"])
def test_with_live_restore_a_task_outlives_its_daemon(place, beside, monkeypatch, way):
    with private_daemon("--live-restore") as daemon:
        monkeypatch.setenv("DOCKER_HOST", daemon.host)
        running = beside(place.run, place.job("sleep 2; exit 5"))
        place.begun()
        getattr(daemon, way)()
        daemon.start()
        assert outcome(running.result(WAIT_SECONDS)) == (TaskState.FAILED, 1, 5)


def test_a_daemon_that_stays_away_is_given_up_and_again_is_enough(daemon, place, beside):
    job = place.job("sleep 3")
    running = beside(place.hurry, job)
    place.begun()
    daemon.stop()
    given_up(running, "Docker failed while")
    daemon.start()
    assert outcome(place.hurry(job)) == (TaskState.SUCCEEDED, 2, 0)


def test_a_daemon_that_is_away_before_a_run_is_not_waited_for(daemon, place, capsys, here):
    daemon.stop()
    (here / "job.toml").write_text(
        f'name = "job"\nimage = "{IMAGE}"\n[[tasks]]\nid = "t"\nshell = "true"\n'
    )
    argv = ("run", "job.toml", "--backend", "local-docker")
    assert call(root, Session(argv)) == EnvironmentNotReady.exit_code
    shown = capsys.readouterr().err
    assert f"no Docker daemon answers at {daemon.host}" in shown
    assert "help: start it" in shown
    assert list(here.iterdir()) == [here / "job.toml"]
    daemon.start()
    assert call(root, Session(argv)) == 0


def test_a_full_disk_of_the_daemon_is_named(place, monkeypatch):
    with private_daemon(disk="24m") as daemon:
        monkeypatch.setenv("DOCKER_HOST", daemon.host)
        daemon.fill()
        with pytest.raises(BackendError, match="no space left on device") as caught:
            place.hurry(place.job("true"))
        assert exit_code_of(caught.value) == 7
        daemon.inside("rm", str(daemon.data / "full"))
        assert place.hurry(place.job("true")).state == "succeeded"


def test_a_daemon_that_fails_for_ever_is_given_up_and_again_is_enough(daemon, proxy, place, beside):
    job = place.job("sleep 1")
    running = beside(place.hurry, job)
    place.begun()
    proxy.fail()
    given_up(running, "the disk is on fire")
    proxy.mend()
    assert outcome(place.hurry(job)) == (TaskState.SUCCEEDED, 1, 0)
    assert daemon.containers() == []


def test_a_failure_of_the_last_call_is_told_and_again_is_enough(daemon, proxy, place):
    job = place.job("true")

    def fail_once_it_is_done(event):
        if isinstance(event, TaskChanged) and event.new is TaskState.SUCCEEDED:
            proxy.fail()

    with pytest.raises(BackendError, match="the disk is on fire") as caught:
        place.hurry(job, fail_once_it_is_done)
    assert exit_code_of(caught.value) == 7
    proxy.mend()
    assert outcome(place.hurry(job)) == (TaskState.SUCCEEDED, 1, 0)
    assert daemon.containers() == []


def test_a_daemon_that_never_answers_is_not_waited_for_before_a_run(proxy, place, monkeypatch):
    monkeypatch.setattr(connection, "CALL_SECONDS", HASTY_SECONDS)
    proxy.hang()
    with pytest.raises(EnvironmentNotReady, match=r"no Docker daemon answers at .*proxy"):
        place.run(place.job("true"))


def test_a_daemon_that_stops_to_answer_does_not_stop_a_time_limit(
    proxy, place, beside, monkeypatch
):
    monkeypatch.setattr(connection, "CALL_SECONDS", HASTY_CALL_SECONDS)
    job = place.job("sleep 100", timeout=2, interruptions=0)
    running = beside(place.hurry, job)
    place.begun()
    proxy.hang()
    given_up(running, "Docker failed while")
    proxy.mend()
    assert place.hurry(job).task("t").reason is FailureReason.TIMEOUT


def test_a_daemon_that_hangs_beside_a_task_without_a_limit_is_given_up(
    proxy, place, beside, monkeypatch
):
    monkeypatch.setattr(connection, "CALL_SECONDS", HASTY_CALL_SECONDS)
    monkeypatch.setattr(runner, "_LIFE_SECONDS", HASTY_SECONDS)
    job = place.job("sleep 3")
    running = beside(place.hurry, job)
    place.begun()
    proxy.hang()
    given_up(running, "waiting for task 't'")
    proxy.mend()
    assert outcome(place.hurry(job)) == (TaskState.SUCCEEDED, 1, 0)


@pytest.mark.parametrize("way", ["fail", "hang"])
def test_a_moment_without_an_answer_is_outlived(proxy, place, beside, way):
    running = beside(place.run, place.job("sleep 2; exit 5"))
    place.begun()
    getattr(proxy, way)()
    proxy.heard()
    proxy.mend()
    assert outcome(running.result(WAIT_SECONDS)) == (TaskState.FAILED, 1, 5)
