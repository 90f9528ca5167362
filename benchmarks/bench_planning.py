"""What it takes to plan and record a job of 100,000 tasks."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import msgspec

from frame import HERE, Cost, Row, child, python
from large import Seconds

SECONDS = 10.0
MIB = 400.0
GROWTH = 11.0


def rows(*, tiny: bool = False) -> list[Row]:
    """Measure a large job and one of a tenth of its size, in turn."""
    large, small = (20, 2) if tiny else (100_000, 10_000)
    rounds = [(_made(small), _made(large)) for _ in range(1 if tiny else 3)]
    times = [(_seconds(few), _seconds(many)) for few, many in rounds]
    many = statistics.median(_planned(many) for _, many in times)
    return [
        Row(measure=f"plan and record {large:,} tasks", ours=many, goal=SECONDS),
        Row(
            measure="the same, growth",
            ours=many,
            floor=statistics.median(_planned(few) for few, _ in times),
            floor_name=f"{small:,} tasks",
            goal=GROWTH,
        ),
        Row(
            measure="the same, peak memory with the job",
            ours=statistics.median(many.peak_mib for _, many in rounds),
            unit="MiB",
            goal=MIB,
        ),
        Row(
            measure=f"build {large:,} tasks in Python",
            ours=statistics.median(many.build for _, many in times),
        ),
    ]


def _made(tasks: int) -> Cost:
    with tempfile.TemporaryDirectory() as directory:
        return child(python(HERE / "large.py", str(tasks), directory), cwd=Path(directory))


def _seconds(cost: Cost) -> Seconds:
    return msgspec.json.decode(cost.output, type=Seconds)


def _planned(seconds: Seconds) -> float:
    return seconds.plan + seconds.record
