"""The copy of ``job.json`` in the store, and a second machine that takes the run up from it."""

from __future__ import annotations

import random
from pathlib import Path

import fsspec
import pytest

from batchcore.driver import Driver
from batchcore.errors import BackendError
from batchcore.life.attach import rebuild
from batchcore.model import Dependency, Job, Resource, Task
from batchcore.record import Record, read_header
from batchcore.record.rundir import header_of
from batchcore.run import Run
from batchcore.testing.memory import MemoryBackend, succeed
from batchcore.transfer.stage import record_url

STORE = "memory://batchcore/run-1"


def copy() -> bytes | None:
    """Return the copy in the store, None where there is none."""
    memory, path = fsspec.core.url_to_fs(record_url(STORE))
    return memory.cat_file(path) if memory.exists(path) else None


def two(**fields) -> Job:
    tasks = [Task("a", outputs=["out"]), Task("b", outputs=["out"], **fields)]
    return Job("job", command=["work"], tasks=tasks, resources=[Resource("in", text="in")])


def submit(world, job: Job) -> None:
    driver = world.driver(job)
    try:
        driver.submit_only()
    finally:
        world.record.close()


def second_machine(world, directory: Path) -> Run:
    """Take the run up in another directory, and drive it to its end with the same service."""
    rebuild(directory, header_of(copy() or b"", STORE), STORE)
    record = Record.resume(directory)
    try:
        Driver(record, world.backend, clock=world.clock, chance=random.Random(7)).run()
    finally:
        record.close()
    return Run.load(directory)


def test_the_copy_is_job_json_byte_for_byte(world):
    submit(world, two())
    assert copy() == (world.directory / "job.json").read_bytes()


def test_the_copy_is_there_before_the_first_task(world):
    class Looking(MemoryBackend):
        def submit(self, run, tasks):
            assert copy() is not None
            super().submit(run, tasks)

    world.backend = Looking(succeed, world.clock)
    submit(world, two())
    assert len(world.backend.executions) == 2


def test_the_copy_comes_after_the_resources(world):
    class Full(MemoryBackend):
        def filesystem(self, url):
            if "/resources/" in url:
                reason = "the store is full"
                raise BackendError(reason)
            return super().filesystem(url)

    world.backend = Full(succeed, world.clock)
    with pytest.raises(BackendError, match="full"):
        submit(world, two())
    assert copy() is None
    assert Run.load(world.directory).report().store == ""


def test_a_report_has_the_url_of_the_copy(world):
    submit(world, two())
    assert Run.load(world.directory).report().store == STORE


def test_a_run_that_has_begun_is_not_copied_again(world):
    # A task that has ended would run again elsewhere: what its backend knew is cleaned up.
    submit(world, two())
    fsspec.filesystem("memory").rm("/batchcore/run-1/job.json")
    submit(world, two())
    assert copy() is None


def test_what_is_released_after_a_success_is_not_offered(world):
    run = world.drive(two())
    assert copy() is None
    assert run.report().store == ""


def test_another_machine_gets_the_same_results_and_runs_nothing_twice(world, tmp_path):
    submit(world, two())
    run = second_machine(world, tmp_path / "other")
    assert [path.read_text() for path in run.output_files] == ["a", "b"]
    assert sorted(world.backend.executions) == [("a", 1), ("b", 1)]


def test_another_machine_starts_what_nobody_has_started(world, tmp_path):
    submit(world, two(depends_on=[Dependency("a")]))
    assert world.backend.executions == [("a", 1)]
    run = second_machine(world, tmp_path / "other")
    assert run.state == "succeeded"
    assert world.backend.executions == [("a", 1), ("b", 1)]


def test_another_machine_counts_attempts_from_the_first(world, tmp_path, flaky):
    world.behave(flaky({"a": 1}))
    job = Job("job", command=["work"], tasks=[Task("a", outputs=["out"], retries=1)])
    submit(world, job)
    run = second_machine(world, tmp_path / "other")
    assert [attempt["exit_code"] for attempt in run.attempts("a")] == [3, 0]
    assert world.backend.executions == [("a", 1), ("a", 2)]


def test_another_machine_needs_no_source(world, tmp_path):
    source = world.directory.parent / "in.txt"
    source.write_text("in")
    resources = [Resource("in", source="in.txt")]
    submit(world, Job("job", command=["work"], tasks=[Task("a")], resources=resources))
    source.unlink()
    assert second_machine(world, tmp_path / "other").state == "succeeded"


def test_another_machine_leaves_the_copy_alone(world, tmp_path):
    submit(world, two())
    before = copy()
    rebuild(tmp_path / "other", header_of(before or b"", STORE), STORE)
    changed = read_header(tmp_path / "other")
    assert changed == read_header(world.directory)
    fsspec.filesystem("memory").pipe_file("/batchcore/run-1/job.json", b"as it was")
    record = Record.resume(tmp_path / "other")
    try:
        Driver(record, world.backend, clock=world.clock).submit_only()
    finally:
        record.close()
    assert copy() == b"as it was"
