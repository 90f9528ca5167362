"""On a terminal: one line that is redrawn, questions, Ctrl-C, and nothing that forges text."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from batchcore.local import secretfiles
from batchcore.record.rundir import is_driven
from batchcore.run import Run
from conftest import lacking

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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_cancels_where_that_is_wished(
    terminal: Call, job: Call, gate: Any, here: Path, number: signal.Signals
) -> None:
    file = job(a=gate.passed, b=gate.passed)
    child = terminal("run", file, "--max-parallel", "1", "--on-interrupt", "cancel")
    child.expect("1 running")
    child.kill(number)
    assert "2 canceled" in finish(child)
    assert child.exitstatus == 4
    assert only_run(here).state == "canceled"
    assert not is_driven(only_run(here).directory)


def test_whether_ctrl_c_cancels_is_a_setting(
    terminal: Call, job: Call, gate: Any, here: Path
) -> None:
    (here / "batchcore.toml").write_text('on_interrupt = "cancel"\n')
    child = terminal("run", job(a=gate.passed))
    child.expect("1 running")
    child.sendintr()
    child.expect("Canceling the tasks of the run; press Ctrl-C again to leave at once")
    finish(child)
    assert child.exitstatus == 4


def test_the_second_ctrl_c_leaves_a_cancel_at_once(
    terminal: Call, job: Call, gate: Any, here: Path
) -> None:
    stubborn = f"trap '' TERM; {gate.passed}"
    child = terminal("run", job(a=stubborn), "--on-interrupt", "cancel")
    child.expect("1 running")
    child.sendintr()
    child.expect("Canceling")
    child.sendintr()
    finish(child)
    assert child.exitstatus == 130
    assert only_run(here).state == "running"
    gate.open()


def test_an_interrupt_cancels_what_another_process_drives(
    terminal: Call, cli: Call, job: Call, gate: Any, here: Path
) -> None:
    file = job(a=gate.passed)
    cli("submit", file)
    child = terminal("run", file, "--on-interrupt", "cancel")
    child.expect("1 running")
    child.kill(signal.SIGTERM)
    assert "1 canceled" in finish(child)
    assert child.exitstatus == 4
    assert only_run(here).state == "canceled"


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


def test_a_shell_opens_where_a_task_would_start(
    terminal: Call, job: Call, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", "canary-7d1e")
    more = 'resources = [{ path = "in.txt", text = "hello" }]\nsecrets = ["API_TOKEN"]'
    finish(terminal("run", job(more=more, a="cat in.txt; exit 3")))
    run = only_run(here)
    child = terminal("replay", run.id, "--task", "a", "--shell")
    child.expect("its command:  /bin/sh -c 'cat in.txt; exit 3'")
    child.sendline("echo $BATCHCORE_TASK_ID: $(cat in.txt $BATCHCORE_SECRETS_DIR/API_TOKEN)")
    child.expect("a: hellocanary-7d1e")
    child.sendline("kill -INT $PPID; kill -TERM $PPID; echo still $((6 * 7))")
    child.expect("still 42")
    child.sendline("exit 7")
    finish(child)
    assert child.exitstatus == 0
    assert not list((run.directory / "replays").iterdir())
    assert secretfiles.leftovers(run.id) == []


def test_ctrl_c_leaves_a_replay_that_can_be_waited_for(
    terminal: Call, job: Call, here: Path, gate: Any
) -> None:
    finish(terminal("run", job(a=f"[ -e {here}/again ] || exit 3; {gate.passed}")))
    (here / "again").touch()
    place = f".batchcore/{only_run(here).id}/replays/a-1"
    child = terminal("replay", only_run(here).id, "--task", "a")
    child.expect("1 running")
    child.sendintr()
    child.expect(f"go on:  batchcore wait {place}")
    finish(child)
    assert child.exitstatus == 130
    gate.open()
    again = terminal("wait", place)
    finish(again)
    assert again.exitstatus == 0


@pytest.mark.docker
def test_a_shell_opens_in_the_container(
    terminal: Call, job: Call, here: Path, docker_client: Any, worker_base_image: str
) -> None:
    if shutil.which("docker") is None:
        lacking("the program `docker` is not installed")
    more = f'image = "{worker_base_image}"\nresources = [{{ path = "in.txt", text = "hello" }}]'
    file = job(more=more, a="cat in.txt; exit 3")
    finish(terminal("run", file, "--backend", "local-docker"))
    run = only_run(here)
    child = terminal("replay", run.id, "--task", "a", "--shell")
    child.expect("its command:")
    child.sendline("echo $BATCHCORE_TASK_ID: $(cat in.txt) in $PWD")
    child.expect("a: hello in /mnt/batch/tasks/workitems/")
    child.sendline("exit")
    finish(child)
    assert child.exitstatus == 0
    made = docker_client.containers.list(all=True, filters={"label": "batchcore.directory"})
    replays = str(run.directory / "replays")
    assert [one for one in made if replays in one.labels["batchcore.directory"]] == []
    assert not list((run.directory / "replays").iterdir())
