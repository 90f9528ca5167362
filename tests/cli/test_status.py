"""The verb `status`: one run, or the list of the recent ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchcore.record.rundir import is_driven
from batchcore.run import Run

Call = Callable[..., Any]


def test_a_run_in_one_line(cli: Call, ran: Call) -> None:
    run = ran(a="true", b="exit 1")
    first = cli("status", run).out.splitlines()[0]
    assert first.startswith(f"{run}  local-process  failed  1/2  1 failed  begun ")


def test_its_own_exit_code_is_0(cli: Call, ran: Call) -> None:
    assert cli("status", ran(a="exit 1")).code == 0


def test_failed_tasks_are_listed(cli: Call, ran: Call) -> None:
    out = cli("status", ran(a="true", b="echo why >&2; exit 9")).out.splitlines()
    assert out[1].split() == ["TASK", "STATE", "REASON", "EXIT", "TRY", "TIME", "DETAIL"]
    assert out[2].split()[:5] == ["b", "failed", "exit_code", "9", "1"]
    assert out[2].endswith("why")
    assert out[3] == "(+ 1 not shown; --tasks for all)"


def test_all_tasks_are_listed_on_request(cli: Call, ran: Call) -> None:
    out = cli("status", ran(a="true", b="exit 1"), "--tasks").out.splitlines()
    assert [line.split()[0] for line in out[2:]] == ["a", "b"]


def test_failed_tasks_alone(cli: Call, ran: Call) -> None:
    assert "not shown" not in cli("status", ran(a="true", b="exit 1"), "--failed").out


def test_json_is_the_report_of_run(cli: Call, job: Call) -> None:
    report = cli("run", job(a="exit 1"), "--json").data
    assert cli("status", report["run"], "--json").data == report


def test_json_of_failed_tasks_alone(cli: Call, ran: Call) -> None:
    data = cli("status", ran(a="true", b="exit 1"), "--failed", "--json").data
    assert [task["id"] for task in data["tasks"]] == ["b"]


def test_of_many_failed_tasks_the_first_are_listed(cli: Call, ran: Call) -> None:
    run = ran(a="true", **{f"b{n:02}": "exit 1" for n in range(22)})
    out = cli("status", run).out.splitlines()
    assert [line.split()[0] for line in out[2:-2]] == [f"b{n:02}" for n in range(20)]
    assert out[-2:] == [
        "(+ 2 failed ones not shown; --failed for them)",
        "(+ 1 not shown; --tasks for all)",
    ]
    assert len(cli("status", run, "--failed").out.splitlines()) == 2 + 22


def test_contradicting_options_exit_2(cli: Call, ran: Call) -> None:
    assert cli("status", ran(), "--tasks", "--failed").code == 2


def test_the_start_of_an_id_is_enough(cli: Call, ran: Call) -> None:
    run = ran("sum-of-powers")
    assert cli("status", "sum").out.startswith(run)


def test_the_start_of_two_ids_is_not(cli: Call, ran: Call) -> None:
    ran("sum-one")
    ran("sum-two")
    done = cli("status", "sum")
    assert done.code == 5
    assert "the start of 2 runs" in done.err


def test_a_directory_names_a_run(cli: Call, job: Call) -> None:
    cli("run", job(), "--dir", "mine")
    assert cli("status", "mine").code == 0
    assert cli("status", "./mine").code == 0


def test_an_unknown_run_exits_5_with_the_nearest(cli: Call, ran: Call) -> None:
    run = ran("train")
    done = cli("status", run.replace("train", "trian"))
    assert done.code == 5
    assert f'did you mean "{run}"?' in done.err


def test_the_runs_directory_of_the_settings_is_searched(cli: Call, job: Call, here: Path) -> None:
    (here / "batchcore.toml").write_text('runs = "elsewhere"\n')
    run = cli("run", job(), "--json").data["run"]
    assert (here / "elsewhere" / run).is_dir()
    assert cli("status", run).code == 0


def test_a_backend_that_is_not_installed_does_not_hide_the_runs(
    cli: Call, ran: Call, here: Path
) -> None:
    run = ran()
    (here / "batchcore.toml").write_text('backend = "gone"\n')
    assert cli("status", run).code == 0


def test_without_a_run_the_recent_ones_are_listed(cli: Call, ran: Call) -> None:
    one, two = ran("one"), ran("two", a="exit 1")
    rows = {line.split()[0]: line.split()[1:4] for line in cli("status").out.splitlines()[1:]}
    assert rows == {
        one: ["local-process", "succeeded", "1/1"],
        two: ["local-process", "failed", "0/1"],
    }


def test_the_list_as_data(cli: Call, ran: Call) -> None:
    run = ran()
    data = cli("status", "--json").data
    assert data["schema"] == "batchcore.runs/1"
    assert [(one["run"], one["state"], one["counts"]) for one in data["runs"]] == [
        (run, "succeeded", {"succeeded": 1})
    ]


def test_no_runs_is_no_error(cli: Call) -> None:
    done = cli("status")
    assert done.code == 0
    assert done.out == ""
    assert "start one: batchcore run JOB" in done.err


def test_a_damaged_run_does_not_hide_the_others(cli: Call, ran: Call, here: Path) -> None:
    good, bad = ran("good"), ran("bad")
    (here / ".batchcore" / bad / "job.json").write_text("{")
    out = cli("status").out
    assert good in out
    assert "damaged" in out


def test_a_run_that_nobody_drives_says_how_to_go_on(
    process: Call, cli: Call, job: Call, gate: Any, here: Path
) -> None:
    line = [sys.executable, "-m", "batchcore", "run", job(a=gate.passed), "-v"]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as driver:
        assert driver.stderr is not None
        next(line for line in driver.stderr if "running" in line)
        (header,) = here.glob(".batchcore/*/job.json")
        driven = cli("status", "demo")
        assert is_driven(header.parent)
        driver.kill()
    assert "0/1" in driven.out
    assert driven.err.startswith(f"driven by process {driver.pid} on ")
    assert cli("status", "demo").err == "no driver runs; go on with: batchcore wait demo\n"
    gate.open()


def test_looking_changes_nothing(cli: Call, ran: Call, here: Path) -> None:
    directory = here / ".batchcore" / ran()
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*") if path.is_file()}
    cli("status", directory.name)
    after = {path: path.stat().st_mtime_ns for path in directory.rglob("*") if path.is_file()}
    changed = {
        path.name for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    }
    assert changed <= {"run.db-shm", "run.db-wal"}


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"pid": "x", "host": 1}', "\0"])
def test_a_damaged_lock_file_drives_nothing(ran: Call, here: Path, content: str) -> None:
    directory = here / ".batchcore" / ran()
    (directory / "lock.json").write_text(content)
    assert not is_driven(directory)


def test_a_damaged_record_exits_7(cli: Call, ran: Call, here: Path) -> None:
    directory = here / ".batchcore" / ran()
    Run.load(directory)
    for path in directory.glob("run.db*"):
        path.write_bytes(b"this is no database" * 100)
    done = cli("status", directory.name)
    assert done.code == 7
    assert "run the same command again" in done.err
