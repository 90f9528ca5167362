"""The verbs `cancel` and `clean`: what stops, what goes, and what stays."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]


@pytest.fixture
def running(here: Path, job: Call, gate: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that drives two tasks, one after the other."""
    file = job(a=gate.passed, b="true")
    line = [sys.executable, "-m", "batchcore", "run", file, "-v", "--max-parallel", "1"]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as driver:
        assert driver.stderr is not None
        next(line for line in driver.stderr if "running" in line)
        yield driver
        gate.open()


@pytest.fixture
def left(running: subprocess.Popen[str]) -> None:
    """The same run after its process was killed."""
    running.kill()
    running.wait()


def test_cancel_asks_the_process_that_drives_the_run(cli: Call, running: Any) -> None:
    done = cli("cancel", "demo")
    assert done.code == 0
    assert "2 tasks of demo-" in done.err
    assert "will stop: 1 running, 1 waiting" in done.err
    assert "asked the process that drives the run" in done.err
    assert running.wait(timeout=60) == 4


def test_cancel_without_such_a_process_does_it_itself(cli: Call, left: None) -> None:
    data = cli("cancel", "demo", "--json").data
    assert data["schema"] == "batchcore.cancel/1"
    assert (data["tasks"], data["ended"]) == (["a", "b"], True)
    assert cli("status", "demo", "--json").data["state"] == "canceled"


def test_cancel_some_tasks(cli: Call, left: None) -> None:
    assert cli("cancel", "demo", "b").code == 0
    tasks = cli("status", "demo", "--json").data["tasks"]
    assert [task["state"] == "canceled" for task in tasks] == [False, True]


def test_cancel_an_unknown_task_exits_5(cli: Call, left: None) -> None:
    assert cli("cancel", "demo", "c").code == 5


def test_nothing_to_cancel_exits_0(cli: Call, ran: Call) -> None:
    done = cli("cancel", ran())
    assert done.code == 0
    assert "nothing to stop" in done.err


def test_clean_off_a_terminal_deletes_nothing_and_says_so(cli: Call, ran: Call, tree: Call) -> None:
    run = ran(a="exit 1")
    before = tree()
    done = cli("clean", run)
    assert tree() == before
    assert done.out.startswith("would delete  directory ")
    assert "add --yes to delete" in done.err


def test_clean_deletes_and_keeps_results(cli: Call, ran: Call, here: Path) -> None:
    run = ran(a="printf 1 > out.txt", b="exit 1")
    done = cli("clean", run, "--yes")
    assert done.out.startswith("deleted  directory ")
    assert not (here / ".batchcore" / run / "work").exists()
    assert cli("fetch", run, "--verify-only").code == 0


def test_clean_dry_run_wins_over_yes(cli: Call, ran: Call, tree: Call) -> None:
    run = ran(a="exit 1")
    before = tree()
    cli("clean", run, "--dry-run", "--yes")
    assert tree() == before


def test_clean_results_deletes_the_run_directory(cli: Call, ran: Call, here: Path) -> None:
    run = ran()
    data = cli("clean", run, "--results", "--yes", "--json").data
    assert data["schema"] == "batchcore.clean/1"
    assert data["deleted"] is True
    assert not (here / ".batchcore" / run).exists()


def test_after_a_success_there_is_nothing_to_clean(cli: Call, ran: Call) -> None:
    done = cli("clean", ran())
    assert (done.code, done.out, done.err) == (0, "", "nothing to delete\n")


def test_clean_refuses_while_tasks_have_not_ended(cli: Call, left: None) -> None:
    done = cli("clean", "demo", "--yes")
    assert done.code == 2
    assert "batchcore cancel" in done.err
