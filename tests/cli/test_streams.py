"""Pipes that close, disks that are full, encodings that lack a character, colours."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]

SECONDS = 60


def shell(line: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which $BC is the command."""
    return subprocess.run(
        ["bash", "-c", line],
        env={**os.environ, "BC": f"{sys.executable} -m batchcore", **environ},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("verb", ["--help", "status", "status --json", "backends list"])
def test_closed_stdout_exits_141_without_a_traceback(ran: Call, verb: str) -> None:
    ran()
    read, write = os.pipe()
    os.close(read)
    line = [sys.executable, "-m", "batchcore", *verb.split()]
    done = subprocess.run(line, stdout=write, stderr=subprocess.PIPE, timeout=SECONDS, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_long_log_into_head_exits_141(ran: Call) -> None:
    run = ran(a="seq 200000")
    done = shell(f"$BC logs {run} a --stdout | head -n 2; echo ${{PIPESTATUS[0]}}")
    assert done.stdout == "1\n2\n141\n"
    assert done.stderr == ""


def test_a_closed_stderr_does_not_stop_a_run(job: Call, here: Path) -> None:
    file = job(a="echo hello > out.txt")
    done = shell(f"$BC run {file} --json 2>&1 >report | true; cat report")
    assert '"state": "succeeded"' in done.stdout


def test_no_stdout_at_all_is_no_error(ran: Call) -> None:
    run = ran()
    assert shell(f"$BC status {run} >&-; echo $?").stdout == "0\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_stdout_is_named(ran: Call) -> None:
    done = shell(f"$BC status {ran()} >/dev/full; echo $?")
    assert done.stdout == "6\n"
    assert "standard output cannot be written: No space left on device" in done.stderr


def test_an_encoding_without_the_marks_gets_ascii(job: Call) -> None:
    err = shell(f"$BC run {job(a='exit 1')}", PYTHONIOENCODING="ascii").stderr
    assert err.isascii()
    assert "\nx a  exit 1" in err


def test_no_colours_into_a_pipe(job: Call) -> None:
    assert "\x1b" not in shell(f"$BC run {job()}").stderr


def test_force_color_colours_a_pipe(job: Call) -> None:
    assert "\x1b[32m✓\x1b[0m" in shell(f"$BC run {job()}", FORCE_COLOR="1").stderr


def test_no_color_wins(job: Call) -> None:
    done = shell(f"$BC run {job()}", FORCE_COLOR="1", NO_COLOR="1")
    assert "\x1b" not in done.stderr
