"""That the benchmarks run, on sizes at which their figures mean nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MAIN = Path(__file__).parents[2] / "benchmarks" / "main.py"


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(MAIN), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


ROWS = {"startup": 1, "planning": 4, "status": 3, "local_process": 1, "azure_submission": 3}


@pytest.mark.parametrize(("name", "rows"), ROWS.items(), ids=ROWS)
def test_a_benchmark_prints_a_line_for_each_measure(name: str, rows: int) -> None:
    assert_lines(name, rows)


@pytest.mark.docker
def test_the_benchmark_of_containers_does_too(worker_base_image: str) -> None:
    assert_lines("local_docker", 3)


def assert_lines(name: str, rows: int) -> None:
    done = bench("--tiny", "--only", name)
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert head.split() == ["MEASURE", "OURS", "FLOOR", "RATIO", "GOAL", "MET"]
    assert len(lines) == rows


def test_an_unknown_benchmark_is_refused_with_those_there_are() -> None:
    done = bench("--only", "nothing")
    assert done.returncode == 2
    assert "planning" in done.stderr
