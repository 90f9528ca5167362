"""The verb `retry`: what runs again, from the run directory alone, and what stays failed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import batchcore as bc
from batchcore.life.retry import reopen_chosen
from batchcore.record import Record

Call = Callable[..., Any]


@pytest.fixture
def failed(here: Path, ran: Call) -> str:
    """A run in which `a` and `x` have failed for want of a file, and `b` because of `a`."""
    after = '[[tasks]]\nid = "b"\nshell = "true"\ndepends_on = ["a"]'
    line = f"[ -e {here}/mended ] || exit 3; echo $BATCHCORE_TASK_ID > out.txt"
    run = ran(more=after, a=line, x=line, ok="true")
    (here / "mended").touch()
    (here / "demo.toml").unlink()
    return str(run)


def states(cli: Call, run: str) -> dict[str, str]:
    return {task["id"]: task["state"] for task in cli("status", run, "--json").data["tasks"]}


def test_all_that_failed_runs_again_without_a_job_file(cli: Call, failed: str) -> None:
    done = cli("retry", failed)
    assert (done.code, done.out) == (0, "")
    assert "4 tasks succeeded" in done.err
    assert cli("fetch", failed, "--verify-only").code == 0


def test_a_chosen_task_runs_again_and_what_it_blocked(cli: Call, failed: str) -> None:
    done = cli("retry", failed, "--task", "a", "--json")
    assert done.code == 3
    assert done.data["schema"] == "batchcore.life.retry/1"
    assert (done.data["retried"], done.data["state"]) == (["b", "a"], "failed")
    ended = {"b": "succeeded", "a": "succeeded", "x": "failed", "ok": "succeeded"}
    assert states(cli, failed) == ended
    assert f"why:    batchcore explain {failed}" in done.err


def test_what_has_succeeded_does_not_run_again(cli: Call, failed: str) -> None:
    cli("retry", failed)
    tries = {task["id"]: task["attempt"] for task in cli("status", failed, "--json").data["tasks"]}
    assert tries == {"b": 1, "a": 2, "x": 2, "ok": 1}


@pytest.mark.parametrize("words", [[], ["--task", "*"], ["--reason", "timeout"]])
def test_nothing_to_retry_exits_0(cli: Call, ran: Call, words: list[str]) -> None:
    done = cli("retry", ran(), *words)
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith("nothing to retry: no task ")


def test_nothing_to_retry_is_data_too(cli: Call, ran: Call) -> None:
    assert cli("retry", ran(), "--json").data["retried"] == []


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (["--task", "aa"], 5, 'did you mean "a"?'),
        (["--reason", "exitcode"], 2, 'did you mean "exit_code"?'),
        (["--task", "b"], 2, "add --task a"),
    ],
)
def test_a_wrong_choice_changes_nothing(
    cli: Call, failed: str, words: list[str], code: int, hint: str
) -> None:
    before = cli("status", failed, "--json").data
    done = cli("retry", failed, *words)
    assert done.code == code
    assert hint in done.err
    assert cli("status", failed, "--json").data == before


def test_an_interrupted_retry_goes_on(cli: Call, failed: str, here: Path) -> None:
    with closing(Record.resume(here / ".batchcore" / failed)) as record:
        reopen_chosen(record, environ={})
    done = cli("retry", failed)
    assert (done.code, done.out) == (0, "")
    assert "4 tasks succeeded" in done.err


def test_an_unknown_run_exits_5(cli: Call, failed: str) -> None:
    assert cli("retry", failed.replace("demo", "demmo")).code == 5


def test_a_run_that_is_driven_is_a_conflict(cli: Call, failed: str, here: Path) -> None:
    record = Record.resume(here / ".batchcore" / failed)
    try:
        done = cli("retry", failed)
    finally:
        record.close()
    assert done.code == 9
    assert "batchcore status" in done.err


def test_canceled_tasks_run_again_where_they_are_named(cli: Call, job: Call, here: Path) -> None:
    line = f"[ -e {here}/mended ] || exit 3"
    run = cli("run", job(a=line, z="true"), "--max-parallel", "1", "--fail-fast", "--json")
    name = run.data["run"]
    (here / "mended").touch()
    assert cli("retry", name, "--reason", "canceled").code == 3
    assert states(cli, name) == {"a": "failed", "z": "succeeded"}
    assert cli("retry", name).code == 0


def test_run_tells_of_retry_after_a_failure(cli: Call, job: Call) -> None:
    assert "retry:  batchcore retry demo-" in cli("run", job(a="exit 1")).err


def test_the_library_does_the_same(failed: str, here: Path) -> None:
    run = bc.Run.load(here / ".batchcore" / failed)
    assert run.retry(["x"]).state == "failed"
    assert run.retry(reasons=[bc.FailureReason.EXIT_CODE]).state == "succeeded"
    assert run.task("ok").attempt == 1
