"""What every benchmark is made of: rows, measured children, interleaved rounds.

A benchmark is a module ``bench_<name>.py`` beside this one with a docstring whose first line
says what it measures, and one function::

    def rows(*, tiny: bool = False) -> list[Row]: ...

`tiny` asks for the smallest size that still goes the whole way, for the tests. A benchmark that
lacks a part of its environment raises `NotMeasured` with the reason. `main` finds the modules by
their names; nothing else has to be told.

Each row holds a figure of ours against a floor that was measured in the same run, in rounds that
alternate between the two, so that a noisy machine is noisy for both. What is measured runs in a
child process of its own: memory and imports do not leak from one measurement into the next.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

HERE = Path(__file__).parent


class NotMeasured(Exception):
    """This benchmark cannot run here; the text says what is missing."""


class Row(Struct, frozen=True, kw_only=True):
    """One line of the table.

    `ours` and `floor` are medians in `unit`. `goal` is the highest good value of their ratio or,
    in a row without a floor, of `ours`; a row without a goal is there to be looked at.
    """

    measure: str
    ours: float
    unit: str = "s"
    floor: float | None = None
    floor_name: str = ""
    goal: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times the floor ours is."""
        return None if self.floor is None else self.ours / self.floor

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        if self.goal is None:
            return None
        return (self.ours if self.ratio is None else self.ratio) <= self.goal


class Cost(Struct, frozen=True, kw_only=True):
    """What a child process cost: wall seconds, the peak of its memory in MiB, what it printed."""

    seconds: float
    peak_mib: float
    output: str


def python(*words: str | Path) -> list[str]:
    """Return the command of a script, or of ``-c``, in this interpreter."""
    return [sys.executable, *map(str, words)]


def child(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Cost:
    """Run a command to its end and return its cost; `env` is added to this process's own.

    Raises `subprocess.CalledProcessError`, with what the child wrote, where it does not exit 0.
    The peak is that of the child or of the largest of its own children, not of their sum.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=cwd,
            env={**os.environ, **(env or {})},
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        output = out.read()
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command, output, err.read())
    return Cost(seconds=seconds, peak_mib=usage.ru_maxrss / 1024, output=output)


def interleaved(measures: Mapping[str, Callable[[], float]], rounds: int = 5) -> dict[str, float]:
    """Return the median of each measure; every round takes each of them once, in turn."""
    found: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            found[name].append(measure())
    return {name: statistics.median(values) for name, values in found.items()}
