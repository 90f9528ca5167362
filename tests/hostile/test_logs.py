"""Logs that are too long in every way: many bytes, or one line of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from batchcore.cli.logtext import LONGEST_LINE, Escaper, tail_offset

SECONDS = 100
LINE = 50_000_000
CONTROLLER_MEMORY = 200 << 20

MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""

Batchcore = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def batchcore(tmp_path: Path) -> Batchcore:
    """Start a command in a process of its own, in a directory of its own."""

    def start(*argv: str) -> subprocess.Popen[bytes]:
        line = [sys.executable, "-m", "batchcore", *argv]
        return subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE)

    return start


def job(directory: Path, shell: str) -> str:
    task = {"id": "a", "shell": shell}
    (directory / "job.json").write_text(json.dumps({"name": "loud", "tasks": [task]}))
    return "job.json"


def test_a_long_log_does_not_come_into_the_controller_s_memory(tmp_path: Path) -> None:
    size = 2 * CONTROLLER_MEMORY
    line = [sys.executable, "-m", "batchcore", "run", job(tmp_path, f"head -c {size} /dev/zero")]
    # Started by a small process, as a child's peak counts from the memory of who forked it.
    peak = subprocess.run(
        [sys.executable, "-c", MEASURE, *line],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        timeout=SECONDS,
        check=True,
    )
    (log,) = tmp_path.glob(".batchcore/*/logs/**/stdout*")
    assert log.stat().st_size == size
    assert int(peak.stdout.split()[-1]) << 10 < CONTROLLER_MEMORY


@pytest.fixture
def one_line(batchcore: Batchcore, tmp_path: Path) -> None:
    """A run whose task wrote one line of 50 MB that does not end."""
    line = f"head -c {LINE} /dev/zero | tr '\\0' x"
    with batchcore("run", job(tmp_path, line)) as process:
        process.communicate(timeout=SECONDS)
    assert process.returncode == 0


def test_one_line_of_50_mb_is_passed_on_as_bytes(one_line: None, batchcore: Batchcore) -> None:
    with batchcore("logs", "loud", "--stdout") as process:
        assert process.stdout is not None
        size = 0
        while data := process.stdout.read(1 << 20):
            assert data.strip(b"x") == b""
            size += len(data)
    assert (process.returncode, size) == (0, LINE)


def test_one_line_of_50_mb_is_cut_on_a_terminal(one_line: None, tmp_path: Path) -> None:
    child = pexpect.spawn(
        sys.executable,
        ["-m", "batchcore", "logs", "loud", "--stdout"],
        cwd=str(tmp_path),
        env={**os.environ, "TERM": "xterm"},
        encoding="utf-8",
        timeout=SECONDS,
    )
    child.expect(pexpect.EOF)
    child.close()
    shown = str(child.before)
    assert child.exitstatus == 0
    assert shown == "x" * LONGEST_LINE + " .. 49,990,000 more characters; --raw shows them"


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_only_the_long_lines_are_cut(size: int) -> None:
    log = b"short\n" + b"y" * (LONGEST_LINE + 5) + b"\nend\n" + b"z" * LONGEST_LINE + b"\n"
    escaper = Escaper()
    pieces = [escaper.feed(log[at : at + size]) for at in range(0, len(log), size)]
    first, second, third, fourth, last = "".join([*pieces, escaper.feed(b"", final=True)]).split(
        "\n"
    )
    assert (first, third, last) == ("short", "end", "")
    assert second == "y" * LONGEST_LINE + " .. 5 more characters; --raw shows them"
    assert fourth == "z" * LONGEST_LINE


def test_what_is_cut_is_counted_before_it_is_escaped() -> None:
    shown = Escaper().feed(b"\x1b" * (LONGEST_LINE + 1), final=True)
    assert shown == "\\x1b" * LONGEST_LINE + " .. 1 more characters; --raw shows them"


def test_the_tail_of_a_log_of_empty_lines_is_found_by_its_end_alone() -> None:
    chunks = [b"\n" * (1 << 20)] * 64
    assert tail_offset(chunks, 2) == (64 << 20) - 2
