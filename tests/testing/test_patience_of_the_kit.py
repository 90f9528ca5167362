"""The kit waits no longer than it says, tries again as a driver does, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batchcore.errors import BackendError
from batchcore.events import Note, TaskChanged
from batchcore.model import Task
from batchcore.states import TaskState
from batchcore.testing import (
    Subject,
    Trial,
    install_plugin,  # noqa: F401 - a fixture
)
from batchcore.testing.conformance.refusals import _submitted
from batchcore.testing.deadline import DriverClock
from batchcore.testing.memory_place import RunPlace

NEVER_SAYS = "a run comes to its end, and tells of its tasks until then"
CHANGED = TaskChanged(at=0.0, task_id="a", attempt=1, old=TaskState.QUEUED, new=TaskState.RUNNING)


SILENT = """
    from batchcore.backend import BackendSpec
    from batchcore.errors import BackendError
    from batchcore.hookspecs import hookimpl
    from batchcore.testing import MemoryBackend, memory_plugin

    class Silent(MemoryBackend):
        def submit(self, run, tasks):
            raise BackendError("nobody answers", transient=True)

    def create(settings):
        return Silent()

    @hookimpl
    def batchcore_register_backend():
        like = memory_plugin.batchcore_register_backend()
        return BackendSpec(
            name="silent",
            summary="never answers",
            factory="demo_silent_plugin:create",
            settings=like.settings,
            capabilities=like.capabilities,
        )
"""


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Callable[..., Trial]]:
    """Return a function that makes the trial of a backend; all are closed in the end."""
    made: list[Trial] = []

    def make(backend: str, seconds: float = 60.0, **options: Any) -> Trial:
        here = tmp_path / f"trial-{len(made)}"
        here.mkdir()
        subject = Subject(backend=backend, options=options, seconds=seconds, pause=0.01)
        made.append(Trial(subject, here))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_run_that_never_ends_fails_its_test_and_is_released(trial) -> None:
    with_processes = trial("memory", seconds=0.3, behaviour="batchcore.testing:execute")
    prepared = with_processes.prepare(Task("a", shell="sleep 600"))
    with pytest.raises(AssertionError, match=NEVER_SAYS):
        with_processes.drive(prepared)
    assert RunPlace(prepared.run_id).exists()
    with_processes.close()
    assert not RunPlace(prepared.run_id).exists()


def test_a_driver_that_is_told_of_its_tasks_has_time(monkeypatch) -> None:
    hands = [0.0]
    monkeypatch.setattr("batchcore.clock.SystemClock.monotonic", lambda _clock: hands[0])
    clock = DriverClock(longest=0.0, seconds=60.0)
    hands[0] = 59.0
    clock.observe(CHANGED)
    hands[0] = 118.0
    clock.observe(Note(at=0.0, text="still nothing"))
    clock.sleep(1.0)
    hands[0] = 120.0
    with pytest.raises(AssertionError, match="TaskChanged"):
        clock.now()


def test_a_process_that_never_ends_fails_its_test(trial) -> None:
    with pytest.raises(AssertionError, match="contract: a run in a process of its own"):
        trial("memory", seconds=0.3).python("-c", "import threading; threading.Event().wait()")


def test_what_a_killed_controller_left_is_released(trial) -> None:
    killed = trial("local-process")
    killed.controller(Task("a", shell="echo x; sleep 600"), crash_at="submit.accepted")
    work = killed.directory / "work"
    assert work.exists()
    killed.close()
    assert not work.exists()


@pytest.mark.parametrize("seed", range(3))
def test_a_busy_backend_passes_as_it_does_with_a_driver(trial, seed) -> None:
    run = trial("fault", inner="memory", busy=0.5, seed=seed).open(Task("a", shell="true"))
    run.submit()
    run.backend.cancel(run.context, ["unknown"])
    assert run.end_of("a").state is TaskState.SUCCEEDED
    assert run.log("a") == b""
    assert run.files("a").tree.startswith("memory:")
    assert run.release()


def test_a_backend_that_does_not_answer_has_refused_nothing(
    trial,
    install_plugin,  # noqa: F811 - the fixture
) -> None:
    install_plugin("silent", SILENT)
    with pytest.raises(BackendError, match="nobody answers"):
        _submitted(trial("silent"), Task("a", shell="true"))
