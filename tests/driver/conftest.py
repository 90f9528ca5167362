from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

from batchcore.driver import Driver, Policy
from batchcore.events import Event, Observers
from batchcore.model import Job
from batchcore.plan import plan_job
from batchcore.record import Header, Record
from batchcore.record.resume import reopen
from batchcore.run import Run
from batchcore.testing.clock import FakeClock
from batchcore.testing.memory import Behaviour, MemoryBackend, succeed


class World:
    """A service, a clock and a run directory; `drive` is what one command does."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = FakeClock()
        self.backend = MemoryBackend(clock=self.clock)
        self.events: list[Event] = []

    def behave(self, behaviour: Behaviour) -> None:
        self.backend = MemoryBackend(behaviour, self.clock)

    def driver(self, job: Job, on_event: Callable[[Event], None] | None = None) -> Driver:
        plan = plan_job(job, base=self.directory.parent)
        header = Header(
            run_id="run-1",
            backend="memory",
            created_at=0.0,
            version="0",
            spec_hash=plan.spec_hash,
            job=job,
            plan=plan,
        )
        self.record = Record.create(self.directory, header)
        reopen(self.record)
        return Driver(
            self.record,
            self.backend,
            policy=Policy(max_parallel=job.max_parallel, fail_fast=job.fail_fast),
            observers=Observers([self.events.append, *([on_event] if on_event else [])]),
            clock=self.clock,
            chance=random.Random(7),
        )

    def drive(self, job: Job) -> Run:
        driver = self.driver(job)
        try:
            driver.run()
        finally:
            self.record.close()
        return Run.load(self.directory)

    def states(self) -> dict[str, str]:
        return {task.id: task.state.value for task in Run.load(self.directory).tasks}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An empty world."""
    made = World(tmp_path / "run")
    yield made
    made.record.close()
    memory = fsspec.filesystem("memory")
    if memory.exists("/batchcore"):
        memory.rm("/batchcore", recursive=True)


@pytest.fixture
def flaky() -> Callable[[dict[str, int]], Behaviour]:
    """A behaviour that fails the first n attempts of the named tasks with exit code 3."""
    from batchcore.testing.memory import Outcome

    def make(failures: dict[str, int]) -> Behaviour:
        def behave(task, attempt):
            failed = attempt <= failures.get(task.id, 0)
            return Outcome(exit_code=3, stderr=b"no luck\n") if failed else succeed(task, attempt)

        return behave

    return make
