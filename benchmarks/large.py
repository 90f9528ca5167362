"""Runs of many tasks, for the benchmarks of planning and of status.

As a script: ``large.py TASKS DIRECTORY`` builds a job of so many tasks, plans it, records it, and
prints the seconds of the parts as JSON; with ``finished`` as third word the run then is one of
which every task has succeeded.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchcore.model import Job, Resource, Task
from batchcore.plan import plan_job
from batchcore.record import Header, Record
from batchcore.states import TaskState
from batchcore.transfer.collect import Collected

Value = TypeVar("Value")


class Seconds(Struct, frozen=True):
    """How long each part took."""

    build: float
    plan: float
    record: float


def main(tasks: int, directory: Path, *, finished: bool) -> None:
    """Make the run, and say how long it took."""
    build, job = _timed(lambda: _job(tasks, directory))
    plan, header = _timed(lambda: _header(job))
    record, made = _timed(lambda: Record.create(directory / "run", header))
    if finished:
        _finish(made)
    made.close()
    print(msgspec.json.encode(Seconds(build, plan, record)).decode())


def _timed(step: Callable[[], Value]) -> tuple[float, Value]:
    began = time.perf_counter()
    value = step()
    return time.perf_counter() - began, value


def _job(tasks: int, directory: Path) -> Job:
    """Give each task one resource of its own, one that all share, a variable and an output."""
    shared = directory / "shared.txt"
    shared.write_text("shared")
    return Job(
        "large",
        command=["python3", "worker.py"],
        resources=[Resource("shared.txt", source=str(shared))],
        tasks=[
            Task(
                f"task-{number}",
                env={"SEED": str(number)},
                resources=[Resource("input.txt", text=str(number))],
                outputs=["output.txt"],
            )
            for number in range(tasks)
        ],
    )


def _header(job: Job) -> Header:
    return Header.new(job, plan_job(job), run_id="large-1", backend="local-process")


def _finish(record: Record) -> None:
    """Write an end for every task, as a driver would."""
    ended = {"state": TaskState.SUCCEEDED, "attempt": 1, "exit_code": 0}
    times = {"submitted_at": 1.0, "started_at": 2.0, "ended_at": 3.0}
    for row in record.rows():
        file = Collected("output.txt", f"{row.id}/output.txt", 3, "0" * 64)
        record.save_end(replace(row, **ended, **times), [file])
    record.save_meta("state", "succeeded")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), finished="finished" in sys.argv[3:])
