"""The verb `logs`: kept logs, live logs, the last lines, the safe form."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from batchcore.cli.logtext import Escaper, tail_offset
from batchcore.testing.clock import FakeClock

Call = Callable[..., Any]


def test_the_only_task_needs_no_name(cli: Call, ran: Call) -> None:
    assert cli("logs", ran(a="echo hello")).out == "hello\n"


def test_one_of_several_must_be_named(cli: Call, ran: Call) -> None:
    done = cli("logs", ran(a="true", b="true"))
    assert done.code == 2
    assert "known: a, b" in done.err


def test_an_unknown_task_exits_5_with_the_nearest(cli: Call, ran: Call) -> None:
    done = cli("logs", ran(train="true", test="true"), "trian")
    assert done.code == 5
    assert 'did you mean "train"?' in done.err


def test_both_streams_come_below_headers_on_stderr(cli: Call, ran: Call) -> None:
    done = cli("logs", ran(a="echo out; echo err >&2"))
    assert done.out == "out\nerr\n"
    assert done.err == "== a stdout\n== a stderr\n"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_one_stream_alone_has_no_header(cli: Call, ran: Call, stream: str) -> None:
    done = cli("logs", ran(a="echo stdout; echo stderr >&2"), f"--{stream}")
    assert (done.out, done.err) == (f"{stream}\n", "")


def test_the_logs_of_all_failed_tasks(cli: Call, ran: Call) -> None:
    run = ran(a="echo one; exit 1", b="echo two", c="echo three; exit 1")
    done = cli("logs", run, "--failed", "--stdout")
    assert done.out == "one\nthree\n"
    assert done.err == "== a stdout\n== c stdout\n"


def test_nothing_written_is_said(cli: Call, ran: Call) -> None:
    done = cli("logs", ran(a="true"))
    assert (done.code, done.out, done.err) == (0, "", "nothing was written\n")


def test_the_last_lines(cli: Call, ran: Call) -> None:
    assert cli("logs", ran(a="seq 100"), "--stdout", "-n", "2").out == "99\n100\n"


def test_an_earlier_attempt(cli: Call, ran: Call) -> None:
    run = ran(more="retries = 1", a="echo attempt $BATCHCORE_ATTEMPT; exit 1")
    assert cli("logs", run, "--stdout").out == "attempt 2\n"
    assert cli("logs", run, "--stdout", "--attempt", "1").out == "attempt 1\n"


def test_an_attempt_that_never_was_exits_5(cli: Call, ran: Call) -> None:
    assert cli("logs", ran(), "--attempt", "3").code == 5


def test_a_task_and_failed_contradict_each_other(cli: Call, ran: Call) -> None:
    assert cli("logs", ran(), "a", "--failed").code == 2


def test_bytes_into_a_file_are_the_task_s_own(process: Call, ran: Call, here: Any) -> None:
    run = ran(a=r"printf '\033[31m\377\r\n'")
    with (here / "log").open("wb") as file:
        line = [sys.executable, "-m", "batchcore", "logs", run, "--stdout"]
        subprocess.run(line, stdout=file, check=True, timeout=60)
    assert (here / "log").read_bytes() == b"\x1b[31m\xff\r\n"


@pytest.fixture
def running(here: Any, job: Call, gate: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that drives a task which says hello, waits for the gate, and says goodbye."""
    file = job(a=f"echo hello; {gate.passed}; echo goodbye")
    line = [sys.executable, "-m", "batchcore", "run", file, "-v"]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as driver:
        assert driver.stderr is not None
        next(line for line in driver.stderr if "running" in line)
        yield driver
        gate.open()


class GateClock(FakeClock):
    """A clock at whose first tick the gate opens."""

    def __init__(self, gate: Any) -> None:
        super().__init__()
        self.gate = gate

    def sleep(self, seconds: float) -> None:
        self.gate.open()
        super().sleep(seconds)


def test_a_running_task_is_read_live(cli: Call, running: Any, gate: Any) -> None:
    out = ""
    while not out:  # the shell may not have come to its first line yet
        done = cli("logs", "demo", "--stdout")
        out = done.out
    assert out == "hello\n"


def test_follow_goes_on_until_the_task_ends(cli: Call, running: Any, gate: Any) -> None:
    clock = GateClock(gate)
    done = cli("logs", "demo", "--stdout", "-f", clock=clock)
    assert done.out == "hello\ngoodbye\n"
    assert set(clock.slept) == {0.5}


def test_follow_ends_where_nobody_drives_the_run(cli: Call, running: Any, gate: Any) -> None:
    running.kill()
    running.wait()
    done = cli("logs", "demo", "--stdout", "-f", clock=FakeClock())
    assert done.code == 0
    assert "no process drives this run now" in done.err


def test_follow_of_an_ended_task_prints_it(cli: Call, ran: Call) -> None:
    assert cli("logs", ran(a="echo hello"), "--stdout", "-f", clock=FakeClock()).out == "hello\n"


@pytest.mark.parametrize(
    ("text", "lines", "tail"),
    [
        (b"a\nb\nc\n", 2, b"b\nc\n"),
        (b"a\nb\nc", 2, b"b\nc"),
        (b"a\nb\n", 5, b"a\nb\n"),
        (b"a\nb\n", 0, b""),
        (b"a\nb\n", 1, b"b\n"),
        (b"\n\n\n", 2, b"\n\n"),
        (b"", 3, b""),
        (b"abc", 1, b"abc"),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 100])
def test_the_tail_of_a_text(text: bytes, lines: int, tail: bytes, size: int) -> None:
    chunks = [text[at : at + size] for at in range(0, len(text), size)]
    assert text[tail_offset(chunks, lines) :] == tail


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ("plain\tätext\n".encode(), "plain\tätext\n"),
        (b"\x1b[31m", "\\x1b[31m"),
        (b"\x00\x07\x9b", "\\x00\\x07\\x9b"),
        ("\u202eevil\u2066".encode(), "\\u202eevil\\u2066"),
        (b"50%\r100%\r\n", "50%\n100%\n"),
        ("家".encode(), "家"),
    ],
)
@pytest.mark.parametrize("size", [1, 100])
def test_the_safe_form_of_a_log(data: bytes, shown: str, size: int) -> None:
    escaper = Escaper()
    pieces = [escaper.feed(data[at : at + size]) for at in range(0, len(data), size)]
    assert "".join(pieces) + escaper.feed(b"", final=True) == shown
