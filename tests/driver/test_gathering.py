"""Outputs in a store that is not this machine: several ends are gathered at once, in order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from batchcore.backend import TaskFiles
from batchcore.errors import Detached, TransferError
from batchcore.model import Job, Output, Task
from batchcore.testing.memory import MemoryBackend, Outcome
from batchcore.transfer.stores import AT_ONCE

MANY = 3 * AT_ONCE


class Meeting(fsspec.get_filesystem_class("memory")):  # type: ignore[misc]
    """A store in which a transfer waits until `meeting` others are under way as well."""

    cachable = False

    def __init__(self, meeting: int = 1) -> None:
        super().__init__()
        self.barrier = threading.Barrier(meeting)
        self.lock = threading.Lock()
        self.under_way = self.most = 0
        self.fetched: list[str] = []
        self.failures: list[Exception] = []
        self.on_fetch: Any = lambda: None

    def get_file(self, rpath: str, lpath: str, **_: object) -> None:
        with self.lock:
            self.fetched.append(rpath)
            failure = self.failures.pop() if self.failures else None
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        self.on_fetch()
        try:
            self.barrier.wait(timeout=60)
            if failure:
                raise failure
            Path(lpath).write_bytes(self.cat_file(rpath))
        finally:
            with self.lock:
                self.under_way -= 1


class Away(MemoryBackend):
    """A backend whose files are fetched through a store of the test's."""

    def __init__(self, files: Meeting, clock: Any, **left: bytes) -> None:
        super().__init__(lambda _task, _attempt: Outcome(files=left or {"a": b"x"}), clock)
        self.files = files

    def outputs(self, run: Any, attempt: Any) -> TaskFiles:
        """Leave the logs out, so that a transfer is that of an output."""
        return TaskFiles(tree=super().outputs(run, attempt).tree)

    def filesystem(self, url: str) -> tuple[Any, str]:
        return self.files, self.files._strip_protocol(url)


@pytest.fixture
def files(world: Any) -> Callable[..., Meeting]:
    """Use a store in which so many transfers meet; returns what makes it."""

    def use(meeting: int = 1, **left: bytes) -> Meeting:
        made = Meeting(meeting)
        world.backend = Away(made, world.clock, **left)
        return made

    return use


def job_of(count: int) -> Job:
    tasks = [Task(f"t{n:03}", outputs=[Output("a")]) for n in range(count)]
    return Job("j", command=["x"], tasks=tasks)


def ended(world: Any) -> list[str]:
    return [event.task_id for event in world.events if getattr(event, "new", "") == "succeeded"]


def test_the_files_of_several_tasks_are_fetched_at_once(world: Any, files: Any) -> None:
    store = files(AT_ONCE)
    assert world.drive(job_of(MANY)).state == "succeeded"
    assert store.most == AT_ONCE


def test_the_files_of_one_task_are_fetched_at_once(world: Any, files: Any) -> None:
    store = files(AT_ONCE, **{f"f{n}": b"x" for n in range(AT_ONCE)})
    run = world.drive(Job("j", command=["x"], tasks=[Task("t", outputs=["*"])]))
    assert (run.state, store.most) == ("succeeded", AT_ONCE)


def test_nothing_is_left_of_what_was_brought_here(world: Any, files: Any) -> None:
    files()
    run = world.drive(job_of(MANY))
    assert len(run.output_files) == MANY
    assert not (run.directory / "incoming").exists()


def test_a_fault_of_a_few_transfers_is_outlived(world: Any, files: Any) -> None:
    store = files()
    store.failures = [TransferError("busy", transient=True, retry_after=7.0) for _ in range(3)]
    assert world.drive(job_of(MANY)).state == "succeeded"
    assert len(store.fetched) == MANY + 3


def test_a_lasting_fault_ends_the_command_and_the_same_command_goes_on(
    world: Any, files: Any
) -> None:
    store = files()
    store.failures = [OSError("away") for _ in range(10 * MANY)]
    with pytest.raises(TransferError, match="away"):
        world.drive(job_of(MANY))
    store.failures = []
    assert world.drive(job_of(MANY)).state == "succeeded"
    assert len(world.backend.executions) == MANY


def test_no_thread_outlives_the_gathering(world: Any, files: Any) -> None:
    files()
    before = threading.active_count()
    world.drive(job_of(MANY))
    assert threading.active_count() == before


def test_leaving_is_answered_before_the_next_file(world: Any, files: Any) -> None:
    store = files()
    driver = world.driver(job_of(MANY))
    store.on_fetch = lambda: driver.detach(130)
    with pytest.raises(Detached):
        driver.run()
    world.record.close()
    assert len(store.fetched) <= AT_ONCE
    store.on_fetch = lambda: None
    assert world.drive(job_of(MANY)).state == "succeeded"
    assert len(world.backend.executions) == MANY


def test_leaving_within_the_files_of_one_task_detaches_too(world: Any, files: Any) -> None:
    job = Job("j", command=["x"], tasks=[Task("t", outputs=["*"])])
    store = files(**{f"f{n}": b"x" for n in range(MANY)})
    driver = world.driver(job)
    store.on_fetch = lambda: driver.detach(130)
    with pytest.raises(Detached):
        driver.run()
    world.record.close()
    assert len(store.fetched) <= AT_ONCE
    store.on_fetch = lambda: None
    run = world.drive(job)
    assert (run.state, len(run.output_files)) == ("succeeded", MANY)
    assert len(world.backend.executions) == 1


def test_ends_are_told_in_the_order_in_which_the_backend_told_them(world: Any, files: Any) -> None:
    files(AT_ONCE)
    world.drive(job_of(MANY))
    told = ended(world)
    assert told == [f"t{n:03}" for n in range(MANY)]
