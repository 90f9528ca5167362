"""Tasks without a container, and the ends of tasks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError

from batchcore_azure.emulator.files import _walk


def test_a_plain_task_runs_as_a_process_in_its_own_directory(lab: Any) -> None:
    task = lab.add("sh -c 'pwd; echo $AZ_BATCH_TASK_WORKING_DIR; echo $HOME; echo bad >&2; id -u'")
    assert lab.end(task)["result"] == "success"
    directory, variable, home, user = lab.text(task).split()
    assert directory == variable == home
    assert directory.endswith(f"/workitems/job/job-1/{task}/wd")
    assert int(user) != 0
    assert lab.text(task, "stderr.txt") == "bad\n"


def test_a_plain_task_has_nothing_of_the_emulators_environment(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_ACCOUNT_KEY", "CANARY")
    task = lab.add("env")
    lab.end(task)
    assert "CANARY" not in lab.text(task)


@pytest.mark.parametrize(
    ("command", "code"),
    [("no-such-program", "CommandProgramNotFound"), ("  ", "CommandLaunchFailed")],
)
def test_a_program_that_cannot_be_started_has_no_exit_code(
    lab: Any, command: str, code: str
) -> None:
    end = lab.end(lab.add(command))
    assert end["failureInfo"]["code"] == code
    assert "exitCode" not in end


@pytest.mark.parametrize("name", ["wd/pipe", "stdout.txt/below"])
def test_what_is_no_file_is_not_found(lab: Any, name: str) -> None:
    task = lab.add("mkfifo pipe")
    lab.end(task)
    with pytest.raises(ResourceNotFoundError) as caught:
        lab.text(task, name)
    assert b"FileNotFound" in caught.value.response.read()


def test_files_that_vanish_while_they_are_listed_hide_no_other(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / str(number)).touch()
    listing = _walk(tmp_path, recursive=False)
    first = next(listing).name
    kept = {str(number) for number in range(20)} | {first}
    for path in tmp_path.iterdir():
        if path.name not in kept:
            path.unlink()
    assert {first, *(fact.name for fact in listing)} == kept


@pytest.mark.skipif(os.geteuid() != 0, reason="whoever is not root runs all as themselves")
def test_no_process_of_this_machine_is_run_as_root(lab: Any) -> None:
    admin = {"autoUser": {"scope": "pool", "elevationLevel": "admin"}}
    assert lab.failure(lab.add("true", userIdentity=admin)) == "CommandLaunchFailed"


def test_a_nonzero_exit_is_tried_again_as_often_as_wanted(lab: Any) -> None:
    end = lab.end(lab.add("sh -c 'exit 4'", constraints={"maxTaskRetryCount": 2}))
    assert (end["exitCode"], end["retryCount"], end["result"]) == (4, 2, "failure")
    assert "lastRetryTime" in end


def test_a_try_that_succeeds_is_a_success(lab: Any) -> None:
    lab.until(lambda: lab.node_states() == ["idle"])
    root = lab.machines()[0].place.root
    root.chmod(0o777)
    task = lab.add(
        "sh -c 'cd $AZ_BATCH_NODE_ROOT_DIR; test -e mark || { touch mark; exit 1; }'",
        constraints={"maxTaskRetryCount": 5},
    )
    end = lab.end(task)
    assert (end["result"], end["exitCode"], end["retryCount"]) == ("success", 0, 1)
    assert "failureInfo" not in end


def test_what_never_ran_is_not_tried_again(lab: Any) -> None:
    end = lab.end(lab.add("no-such-program", constraints={"maxTaskRetryCount": 2}))
    assert end["retryCount"] == 0


def test_a_task_is_ended_at_its_limit(lab: Any) -> None:
    end = lab.end(lab.add("sleep 600", constraints={"maxWallClockTime": "PT0.2S"}))
    assert (end["failureInfo"]["code"], end["exitCode"]) == ("TaskEnded", 143)


def test_all_that_a_task_started_is_ended_with_it(lab: Any) -> None:
    task = lab.add("sh -c 'sleep 600 & echo $!; wait'", constraints={"maxWallClockTime": "PT0.5S"})
    lab.end(task)
    assert not alive(int(lab.text(task)))


def alive(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat", encoding="ascii") as stream:  # noqa: PTH123 - of /proc
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_waiting_task_is_terminated_at_once(empty: Any) -> None:
    empty.pool(targetDedicatedNodes=0)
    empty.job()
    task = empty.add("true")
    empty.client.terminate_task("job", task)
    end = empty.end(task)
    assert end["failureInfo"]["code"] == "TaskEnded"
    assert "exitCode" not in end


def test_a_running_task_is_terminated_by_the_user(lab: Any) -> None:
    task = lab.add("sleep 600")
    lab.running(task)
    lab.client.terminate_task("job", task)
    end = lab.end(task)
    assert end["failureInfo"] == {
        "category": "UserError",
        "code": "TaskEnded",
        "message": "Task was ended by user request",
        "details": [],
    }


def test_a_deleted_task_is_killed(lab: Any) -> None:
    task = lab.add("sh -c 'echo $$; sleep 600'")
    lab.says(task, "\n")
    (log,) = lab.files(task, "stdout.txt")
    process = int(log.read_text())
    lab.client.delete_task("job", task)
    lab.until(lambda: not lab.machines()[0].runs)
    assert not alive(process)


def test_a_terminated_job_kills_what_runs_and_leaves_what_waits(lab: Any) -> None:
    first, second = lab.add("sleep 600"), lab.add("true")
    lab.running(first)
    lab.state.terminate_job("job", "enough")
    lab.until(lambda: lab.state.job("job").state == "completed")
    assert lab.failure(first) == "TaskEnded"
    assert lab.task(second).state == "active"
    assert lab.client.get_job("job").execution_info.termination_reason == "enough"


def test_a_job_ends_at_its_own_limit(lab: Any) -> None:
    lab.job("short", constraints={"maxWallClockTime": "PT0.3S"})
    task = lab.add("sleep 600", job="short")
    assert lab.end(task, "short")["failureInfo"]["code"] == "TaskEnded"
    lab.until(lambda: lab.state.job("short").state == "completed")
    info = lab.client.get_job("short").execution_info
    assert info.termination_reason == "MaxWallClockTimeExpiry"


def test_a_job_that_terminates_when_all_is_done_completes(lab: Any) -> None:
    task = lab.add("true")
    lab.client.update_job("job", {"onAllTasksComplete": "terminatejob"})
    lab.end(task)
    lab.until(lambda: lab.state.job("job").state == "completed")
    assert lab.client.get_job("job").execution_info.termination_reason == "AllTasksComplete"


def test_variables_of_the_job_reach_its_tasks_which_may_set_others(lab: Any) -> None:
    common = [{"name": "A", "value": "job"}, {"name": "B", "value": "job"}]
    lab.job("common", commonEnvironmentSettings=common)
    task = lab.add(
        "sh -c 'echo $A $B >&2; exit 1'",
        job="common",
        environmentSettings=[{"name": "B", "value": "task"}],
    )
    lab.end(task, "common")
    log = b"".join(lab.client.download_task_file("common", task, "stderr.txt"))
    assert log == b"job task\n"
