"""A clock that is set while a run goes on, or between two commands: nothing is lost by it.

The clock that tells the time of day may jump; the one that only grows does not. The driver gets a
clock that can be set; commands get the real thing, libfaketime. It leaves the times of files
alone, which then are those of another clock, as they are on a network's file system.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batchcore.driver import Driver
from batchcore.events import Event, Observers, TaskChanged
from batchcore.model import Job, Task
from batchcore.plan import plan_job
from batchcore.record import Header, Record
from batchcore.record.rundir import is_driven, name_owner
from batchcore.run import Run
from batchcore.states import FailureReason, TaskState
from batchcore.testing import FakeClock, MemoryBackend, Outcome
from conftest import lacking

SECONDS = 100
BACK, ON = -3600, 86_400
JUMPS = pytest.mark.parametrize("jump", [BACK, ON], ids=["an hour back", "a day on"])

# Of the sleeps that Python uses, 0.9.10 does not know the one of `time.sleep`, since 3.11.
SLEEP = """
import select, time
time.sleep = lambda seconds: select.select((), (), (), seconds) and None
"""


class SetClock(FakeClock):
    """A fake clock of which somebody sets the time of day."""

    set_by = 0.0

    def __init__(self, jump: float, after: int) -> None:
        """Jump after so many sleeps."""
        super().__init__()
        self._jump, self._after = jump, after

    def sleep(self, seconds: float) -> None:
        """Move the hands, and set them when it is time."""
        super().sleep(seconds)
        if len(self.slept) == self._after:
            self.set_by = self._jump

    def now(self) -> float:
        """Return what it was set to."""
        return super().now() + self.set_by


def drive(directory: Path, clock: SetClock, on_event: Callable[[Event], None]) -> Run:
    """Drive a job of one task that loses its first machine."""

    def behave(_task: Any, attempt: int) -> Outcome:
        lost = Outcome(exit_code=None, reason=FailureReason.NODE_LOST)
        return lost if attempt == 1 else Outcome(polls=3)

    plan = plan_job(Job("job", tasks=[Task("t", command=["work"])]))
    header = Header(
        run_id="run-1",
        backend="memory",
        created_at=0.0,
        version="0",
        spec_hash=plan.spec_hash,
        job=Job("job", tasks=[Task("t", command=["work"])]),
        plan=plan,
    )
    with closing(Record.create(directory, header)) as record:
        Driver(
            record,
            MemoryBackend(behave, clock),
            observers=Observers([on_event]),
            clock=clock,
            chance=random.Random(7),
        ).run()
    return Run.load(directory)


@JUMPS
@pytest.mark.parametrize("after", range(1, 6))
def test_a_driver_whose_clock_is_set_waits_no_longer_and_tells_no_time_below_zero(
    tmp_path: Path, jump: float, after: int
) -> None:
    clock = SetClock(jump, after)
    begin = clock.monotonic()

    def on_event(event: Event) -> None:
        if isinstance(event, TaskChanged):
            assert event.duration is None or event.duration >= 0

    task = drive(tmp_path / "run", clock, on_event).task("t")
    assert (task.state, task.attempt) == (TaskState.SUCCEEDED, 2)
    assert task.duration is not None
    assert task.duration >= 0
    assert clock.set_by == jump
    assert clock.monotonic() - begin < 60


@JUMPS
def test_who_is_to_drive_a_run_is_waited_for_whatever_the_clock_says(
    tmp_path: Path, jump: float
) -> None:
    name_owner(tmp_path, os.getpid(), background=True, coming=True)
    mark = tmp_path / "lock.json"
    os.utime(mark, (mark.stat().st_mtime - jump,) * 2)
    assert is_driven(tmp_path)


class Clocked:
    """A bench of whose commands the clock can be set at any time."""

    def __init__(self, bench: Any, library: Path) -> None:
        self.bench = bench
        self._setting = bench.here / "clock"
        site = bench.here / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(SLEEP)
        self._environ = {
            **os.environ,
            "PYTHONPATH": str(site),
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._setting),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        self._started: list[subprocess.Popen[str]] = []
        self.set(0)

    def set(self, seconds: int) -> None:
        """Set the clock to so many seconds beside the right time."""
        fresh = self._setting.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}")
        fresh.replace(self._setting)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command."""
        command = subprocess.Popen(
            [sys.executable, "-m", "batchcore", *words],
            cwd=self.bench.here,
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(command)
        return command

    def close(self) -> None:
        """End every command that a test has left."""
        for command in self._started:
            command.kill()
            command.communicate()

    def run(self) -> subprocess.Popen[str]:
        """Start the command that runs the job, and goes on with it."""
        return self.start(*self.bench.words[2:])

    def end(self, command: subprocess.Popen[str]) -> str:
        """Return what a command has written when it ends well."""
        out, err = command.communicate(timeout=SECONDS)
        assert command.returncode == 0, err
        return out

    def look(self) -> dict[str, Any]:
        """Return what `status` says of the task, of which no time is below zero."""
        out = self.end(self.start("status", str(self.bench.directory), "--json"))
        (task,) = json.loads(out)["tasks"]
        assert task.get("duration") is None or task["duration"] >= 0
        found: dict[str, Any] = task
        return found


@pytest.fixture
def library() -> Path:
    """The library that sets the clock of a process."""
    found = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if found is None:
        lacking("libfaketime is not installed; tools/faketime.py does that as root on Debian")
    return found


@pytest.fixture
def clocked(processes: Any, library: Path) -> Iterator[Clocked]:
    """A bench with a clock for `local-process`."""
    with closing(Clocked(processes, library)) as made:
        yield made


@pytest.fixture
def adopting(bench: Any, library: Path) -> Iterator[Clocked]:
    """The same for each backend of this machine, which takes up what an earlier command began."""
    with closing(Clocked(bench, library)) as made:
        yield made


@JUMPS
def test_a_clock_that_is_set_while_a_run_is_driven_ends_no_task_too_early(
    clocked: Clocked, jump: int
) -> None:
    clocked.bench.job(f"{clocked.bench.begin}; sleep 1; echo x > out", timeout=50, outputs=["out"])
    command = clocked.run()
    clocked.bench.wait_for(clocked.bench.begun)
    clocked.set(jump)
    clocked.bench.gate.touch()
    clocked.end(command)
    assert (clocked.bench.directory / "outputs/t/out").read_text() == "x\n"
    assert clocked.look()["attempt"] == 1


@JUMPS
def test_a_clock_that_is_set_while_a_run_is_driven_leaves_the_time_limit_in_force(
    clocked: Clocked, jump: int
) -> None:
    clocked.bench.job(clocked.bench.begin, timeout=3, grace=1)
    command = clocked.run()
    clocked.bench.wait_for(clocked.bench.begun)
    clocked.set(jump)
    command.communicate(timeout=SECONDS)
    assert command.returncode == 3
    assert clocked.look()["reason"] == "timeout"


@JUMPS
def test_a_clock_that_is_set_after_a_controller_was_killed_ends_no_task_too_early(
    adopting: Clocked, jump: int
) -> None:
    adopting.bench.job(f"{adopting.bench.begin}; echo x > out", timeout=50, outputs=["out"])
    first = adopting.run()
    adopting.bench.wait_for(adopting.bench.begun)
    adopting.bench.wait_for(adopting.bench.started)
    first.kill()
    first.communicate()
    adopting.set(jump)
    assert adopting.look()["state"] in {"queued", "preparing", "running"}
    second = adopting.run()
    while adopting.bench.driver != second.pid:
        assert second.poll() is None
    while (state := adopting.look()["state"]) in {"queued", "preparing"}:
        assert second.poll() is None
    assert state == "running"
    adopting.bench.gate.touch()
    adopting.end(second)
    assert adopting.look()["attempt"] == 1
    assert adopting.bench.run().code == 0


@JUMPS
def test_a_clock_that_is_set_after_a_controller_was_killed_leaves_the_time_limit_in_force(
    adopting: Clocked, jump: int
) -> None:
    adopting.bench.job(adopting.bench.begin, timeout=5, grace=1)
    first = adopting.run()
    adopting.bench.wait_for(adopting.bench.started)
    first.kill()
    first.communicate()
    adopting.set(jump)
    second = adopting.run()
    second.communicate(timeout=SECONDS)
    assert second.returncode == 3
    assert adopting.look()["reason"] == "timeout"


@JUMPS
def test_a_run_in_the_background_is_left_and_met_again_by_commands_with_another_clock(
    clocked: Clocked, jump: int
) -> None:
    clocked.bench.job(f"{clocked.bench.begin}; echo x > out", outputs=["out"])
    clocked.end(clocked.start("submit", *clocked.bench.words[3:]))
    clocked.set(jump)
    waiting = clocked.start("wait", str(clocked.bench.directory))
    clocked.bench.wait_for(clocked.bench.begun)
    clocked.bench.gate.touch()
    clocked.end(waiting)
    assert clocked.look()["attempt"] == 1
