"""What is done to a run that exists: with which settings, and beside which other processes."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from pathlib import Path

import pytest

import batchcore as bc
from batchcore.driver.drive import read_manner
from batchcore.errors import WaitTimeout
from batchcore.life.manage import cancel_run, open_backend, wait_run
from batchcore.life.retry import retry_run
from batchcore.life.start import Options, drive, prepare, run_job
from batchcore.plugins import Plugins
from batchcore.record import Record
from batchcore.record.resume import reopen
from batchcore.record.rundir import name_owner
from batchcore.run import Run
from batchcore.testing.clock import FakeClock
from batchcore.testing.memory import MemoryBackend, Outcome

JOB = bc.Job("job", tasks=[bc.Task("a", shell="exit 3")])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory of the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def failed(here: Path) -> Run:
    """A run whose task has failed."""
    return run_job(JOB, backend="local-process", directory=here / "run")


@pytest.fixture
def waiting(failed: Run) -> Run:
    """A run whose task could start, and that nobody drives."""
    with closing(Record.resume(failed.directory)) as record:
        reopen(record)
    return failed


@pytest.fixture
def elsewhere(failed: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another current directory, whose settings are wrong."""
    directory = here / "elsewhere"
    directory.mkdir()
    (directory / "batchcore.toml").write_text("[backend.local-process]\nslotz = 1\n")
    monkeypatch.chdir(directory)
    return directory


@pytest.mark.usefixtures("elsewhere")
def test_a_backend_is_opened_with_the_settings_of_where_the_run_began(failed: Run) -> None:
    with open_backend(failed) as backend:
        assert backend.read_log


@pytest.mark.usefixtures("elsewhere")
def test_a_retry_from_elsewhere_uses_and_keeps_where_settings_are_looked_for(
    failed: Run, here: Path
) -> None:
    retry_run(failed)
    with closing(Record.read(failed.directory)) as record:
        manner = read_manner(record)
    assert manner
    assert manner.cwd == str(here)


def test_to_cancel_leaves_the_lock_to_the_driver_that_was_given_the_run(waiting: Run) -> None:
    name_owner(waiting.directory, os.getpid(), background=True, coming=True)
    assert not cancel_run(waiting)
    assert waiting.state == "running"


def test_a_cancel_that_nothing_comes_of_is_over_in_time(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()

    class Deaf(MemoryBackend):
        def cancel(self, *_: object) -> None:
            pass

    deaf = Deaf(lambda *_: Outcome(polls=100_000), clock)
    monkeypatch.setattr(Plugins, "create", lambda *_: deaf)
    run = drive(prepare(JOB, Options(backend="memory", directory=here / "run")), submit_only=True)
    with pytest.raises(WaitTimeout, match="have not all ended") as late:
        cancel_run(run, clock=clock)
    assert late.value.hint == "wait for them: batchcore wait run"
    assert 120 <= sum(clock.slept) <= 180


def test_a_wait_is_over_in_time_where_the_driver_of_an_ended_run_tidies_up(failed: Run) -> None:
    clock = FakeClock()
    with closing(Record.resume(failed.directory)):
        wait_run(failed, timeout=5.0, clock=clock)
    assert sum(clock.slept) == pytest.approx(5.0)


def test_submitting_to_a_service_returns_where_a_background_driver_has_the_run(
    waiting: Run,
) -> None:
    prepared = prepare(JOB, Options(backend="local-process", directory=waiting.directory))
    with closing(Record.resume(waiting.directory, background=True)):
        assert drive(prepared, clock=FakeClock(), submit_only=True).state == "running"


def test_a_closed_terminal_does_nothing_after_nohup(here: Path) -> None:
    def close_terminal(_event: object) -> None:
        os.kill(os.getpid(), signal.SIGHUP)

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run = run_job(
            JOB, backend="local-process", directory=here / "run", observers=[close_terminal]
        )
    finally:
        signal.signal(signal.SIGHUP, before)
    assert run.state == "failed"
