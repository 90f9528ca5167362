"""The view of a run, as a terminal of some size shows it: short, in place, gone at the end."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pyte
import pytest

Call = Callable[..., Any]

SECONDS = 60.0


class Terminal:
    """A command on a terminal, and what that shows now."""

    def __init__(self, argv: tuple[str, ...], columns: int, lines: int) -> None:
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        # Given the environment, since a library may have put the size of another terminal into
        # that of the process, behind the back of `os.environ`.
        self.child = pexpect.spawn(
            sys.executable,
            ["-m", "batchcore", *argv],
            timeout=SECONDS,
            dimensions=(lines, columns),
            env=dict(os.environ),
        )

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines).rstrip()

    def shows(self, pattern: str) -> str:
        """Wait until a pattern is on the screen and return the screen."""
        while not re.search(pattern, self.text, re.MULTILINE):
            try:
                self._stream.feed(self.child.read_nonblocking(4096, SECONDS))
            except pexpect.EOF:
                pytest.fail(f"the command ended without {pattern!r}:\n{self.text}")
        return self.text

    def finish(self) -> str:
        """Wait for the end and return the screen."""
        while True:
            try:
                self._stream.feed(self.child.read_nonblocking(4096, SECONDS))
            except pexpect.EOF:
                self.child.close()
                return self.text

    def resize(self, columns: int, lines: int) -> None:
        self.screen.resize(lines, columns)
        self.child.setwinsize(lines, columns)


@pytest.fixture
def terminal(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    """Start a command on a terminal of its own."""
    started: list[Terminal] = []
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("LINES", raising=False)

    def start(*argv: str, columns: int = 100, lines: int = 30) -> Terminal:
        started.append(Terminal(argv, columns, lines))
        return started[-1]

    yield start
    for each in started:
        each.child.close(force=True)


@pytest.fixture
def waiting(job: Call, gate: Any) -> str:
    """A job of which three tasks fail, one succeeds and one waits for the gate."""
    shells = {f"f{n}": f"echo no number {n} >&2; exit {n}" for n in (1, 2, 3)}
    return str(job(ok="true", **shells, slow=gate.passed))


SHOWN = r"4/5  3 failed  1 running"


def test_the_view_has_counts_failures_and_how_to_look(
    terminal: Call, waiting: str, gate: Any
) -> None:
    child = terminal("run", waiting)
    shown = child.shows(SHOWN + r"[\s\S]*look: batchcore logs demo-\S+ f\d")
    assert re.search(r"^  █+░+  4/5  3 failed  1 running  [\d.]+ s$", shown, re.MULTILINE)
    assert re.search(r"tasks?/(s|min) · about ", shown)
    assert len(re.findall(r"^✗ f\d  exit \d after .* s   no number \d$", shown, re.MULTILINE)) == 3
    gate.open()
    child.finish()
    assert child.child.exitstatus == 3


def test_at_the_end_the_view_is_gone_and_the_failures_stay(
    terminal: Call, waiting: str, gate: Any
) -> None:
    child = terminal("run", waiting)
    child.shows(SHOWN)
    gate.open()
    shown = child.finish()
    assert "█" not in shown
    assert len(re.findall(r"^✗ f\d  exit \d", shown, re.MULTILINE)) == 3
    assert "✗ 2 succeeded, 3 failed" in shown


def test_ctrl_c_leaves_the_failures_too(terminal: Call, waiting: str, gate: Any) -> None:
    child = terminal("run", waiting)
    child.shows(SHOWN)
    child.child.sendintr()
    shown = child.finish()
    gate.open()
    assert len(re.findall(r"^✗ f\d  exit \d", shown, re.MULTILINE)) == 3
    assert "Detached" in shown


def test_watch_has_the_same_view(terminal: Call, waiting: str, gate: Any, cli: Call) -> None:
    run = cli("submit", waiting, "--json").data["run"]
    child = terminal("status", run, "--watch", "--interval", "0.1s")
    shown = child.shows(SHOWN + r"[\s\S]*look: batchcore logs demo-\S+ f\d")
    assert re.search(r"^  █+░+  4/5", shown, re.MULTILINE)
    gate.open()
    ended = child.finish()
    assert "█" not in ended
    assert re.search(r"failed  2/5  3 failed", ended)
    assert re.search(r"^f1 +failed +exit_code +1 ", ended, re.MULTILINE)


@pytest.mark.parametrize("columns", [20, 59])
def test_a_narrow_terminal_breaks_no_line(
    terminal: Call, waiting: str, gate: Any, columns: int
) -> None:
    child = terminal("run", waiting, columns=columns, lines=40)
    shown = child.shows(r"^  4/5  3 failed")
    view = shown[shown.rindex("  4/5") :].splitlines()
    assert "█" not in shown
    assert len([line for line in view if line.startswith("✗ f")]) == 3
    assert all(len(line) <= columns for line in view)
    gate.open()
    child.finish()


def test_a_low_terminal_is_not_scrolled(terminal: Call, waiting: str, gate: Any) -> None:
    child = terminal("run", waiting, lines=5)
    child.shows(SHOWN)
    gate.open()
    child.finish()
    assert child.child.exitstatus == 3


def test_the_view_follows_the_size_of_the_window(terminal: Call, waiting: str, gate: Any) -> None:
    child = terminal("run", waiting)
    child.shows(r"^  █+░+  4/5")
    child.resize(50, 30)
    child.shows(r"^  4/5  3 failed")
    child.resize(100, 30)
    child.shows(r"^  █+░+  4/5")
    gate.open()
    child.finish()


def test_no_color_keeps_the_view_and_its_place(
    terminal: Call, waiting: str, gate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    child = terminal("run", waiting)
    child.shows(SHOWN)
    colours = {cell.fg for row in child.screen.buffer.values() for cell in row.values()}
    assert colours == {"default"}
    gate.open()
    child.finish()


def test_a_terminal_without_unicode_breaks_no_line(
    terminal: Call, job: Call, gate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    line = "é" * 60
    child = terminal("run", job(a=f"echo {line} >&2; exit 1", b=gate.passed), columns=70)
    shown = child.shows(r"look: batchcore logs")
    (failed,) = [line for line in shown.splitlines() if line.startswith("x a ")]
    assert re.search(r"^  #+\.+  1/2", shown, re.MULTILINE)
    assert failed.endswith(r"..")
    assert len(failed) == 70
    gate.open()
    child.finish()


def test_the_detail_of_a_failure_stays_on_its_line(terminal: Call, job: Call, gate: Any) -> None:
    forged = r"printf '\033[2K\033[5A owned \033[31m' >&2; exit 1"
    child = terminal("run", job(a=forged, b=gate.passed))
    shown = child.shows(r"look: batchcore logs")
    assert re.search(r"^✗ a  exit 1 after .*\[5A owned", shown, re.MULTILINE)
    gate.open()
    child.finish()


def test_hundreds_of_tasks_fit_in_the_same_few_lines(terminal: Call, here: Path, gate: Any) -> None:
    (here / "many.toml").write_text(
        'name = "many"\nimage = "none"\ncommand = ["none"]\n[tasks]\n'
        "matrix = { n = " + str(list(range(200))) + ' }\nid = "t{n}"\n'
    )
    child = terminal("run", "many.toml", "--backend", "memory")
    shown = child.finish()
    assert "200 tasks succeeded" in shown
    assert len(shown.splitlines()) < 10


def test_the_reader_of_watch_may_leave(cli: Call, waiting: str, gate: Any) -> None:
    run = cli("submit", waiting, "--json").data["run"]
    words = f"{sys.executable} -m batchcore status {run} --watch --interval 0.1s | head -n 1"
    child = pexpect.spawn("/bin/sh", ["-c", words], timeout=SECONDS)
    child.expect(f"{run}  local-process  running")
    gate.open()
    child.expect(pexpect.EOF)
    assert b"Error" not in child.before
