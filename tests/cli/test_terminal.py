"""On a terminal: one line that is redrawn, questions, Ctrl-C, and nothing that forges text."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from batchcore.run import Run

Call = Callable[..., Any]

SECONDS = 60


@pytest.fixture
def terminal(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    """Start a command on a terminal of its own."""
    started = []
    monkeypatch.setenv("TERM", "xterm")

    def start(*argv: str) -> pexpect.spawn:
        child = pexpect.spawn(
            sys.executable,
            ["-m", "batchcore", *argv],
            encoding="utf-8",
            timeout=SECONDS,
            dimensions=(24, 100),
        )
        started.append(child)
        return child

    yield start
    for child in started:
        child.close(force=True)


def finish(child: pexpect.spawn) -> str:
    """Wait for the end and return the last that was shown."""
    child.expect(pexpect.EOF)
    child.close()
    return str(child.before)


def only_run(here: Path) -> Run:
    (header,) = here.glob(".batchcore/*/job.json")
    return Run.load(header.parent)


def test_a_line_with_counts_is_redrawn(terminal: Call, job: Call, gate: Any) -> None:
    child = terminal("run", job(a=gate.passed, b="true"))
    child.expect("█+░+  1/2  1 running")
    gate.open()
    assert "2 tasks succeeded" in finish(child)
    assert child.exitstatus == 0


def test_no_color_leaves_the_words(
    terminal: Call, job: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in finish(terminal("run", job()))


def test_a_dumb_terminal_gets_plain_lines(
    terminal: Call, job: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in finish(terminal("run", job()))


def test_ctrl_c_detaches_and_the_same_line_follows(
    terminal: Call, job: Call, gate: Any, here: Path
) -> None:
    file = job(a=gate.passed)
    child = terminal("run", file)
    child.expect("1 running")
    child.sendintr()
    child.expect("Detached")
    child.expect("wait:   batchcore wait demo-")
    child.expect("stop:   batchcore cancel demo-")
    finish(child)
    assert child.exitstatus == 130
    again = terminal("run", file)
    again.expect("goes on")
    gate.open()
    finish(again)
    assert again.exitstatus == 0
    # The task was not started a second time.
    assert only_run(here).task("a").attempt == 1


def test_term_detaches_with_143(terminal: Call, job: Call, gate: Any) -> None:
    child = terminal("run", job(a=gate.passed))
    child.expect("1 running")
    child.kill(15)
    finish(child)
    gate.open()
    assert child.exitstatus == 143


def test_the_detail_of_a_failure_cannot_forge_a_line(terminal: Call, job: Call) -> None:
    forged = r"printf '\033[2K\033[1A\342\200\256gpj' >&2; exit 1"
    shown = finish(terminal("run", job(a=forged)))
    assert "\u202e" not in shown
    assert "\x1b[1A\u202e" not in shown


def test_a_log_is_escaped(terminal: Call, ran: Call) -> None:
    run = ran(a=r"printf '\033]0;owned\007red\033[31m'")
    shown = finish(terminal("logs", run, "a", "--stdout"))
    assert r"\x1b]0;owned\x07red\x1b[31m" in shown


def test_raw_sends_a_log_as_it_is(terminal: Call, ran: Call) -> None:
    run = ran(a=r"printf 'red\033[31m'")
    assert "red\x1b[31m" in finish(terminal("logs", run, "a", "--stdout", "--raw"))


def test_clean_asks(terminal: Call, ran: Call, here: Path) -> None:
    child = terminal("clean", ran(a="exit 1"))
    child.expect("Delete them")
    child.sendline("y")
    assert "deleted" in finish(child)
    assert not list(here.glob(".batchcore/*/work"))


def test_an_answer_of_no_deletes_nothing(terminal: Call, ran: Call, here: Path) -> None:
    child = terminal("clean", ran(a="exit 1"))
    child.expect("Delete them")
    child.sendline("n")
    assert "nothing was done" in finish(child)
    assert child.exitstatus == 0
    assert list(here.glob(".batchcore/*/work"))


def test_cancel_asks(terminal: Call, job: Call, gate: Any, here: Path) -> None:
    driver = terminal("run", job(a=gate.passed))
    driver.expect("1 running")
    child = terminal("cancel", only_run(here).id)
    child.expect("1 task of demo-[^ ]* will stop: 1 running, 0 waiting")
    child.expect("Stop them")
    child.sendline("y")
    finish(child)
    finish(driver)
    assert (child.exitstatus, driver.exitstatus) == (0, 4)
