"""Canceling while tasks wait, run and upload; and leaving a run that goes on alone."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

from batchcore.states import TaskState
from batchcore_azure.emulator.execution import NodeExecutor
from batchcore_azure.emulator.faults import Fault

pytestmark = pytest.mark.docker

SLEEP = "sleep 600"


def states(cloud: Any) -> set[TaskState]:
    return {task.state for task in cloud.loaded().tasks}


def canceled(cloud: Any, child: Any) -> None:
    """Cancel everything and wait for the end of the command that drives the run."""
    assert cloud.cli("cancel", "run").code == 0
    _, err = child.communicate(timeout=60)
    assert child.returncode == 4, err
    assert states(cloud) == {TaskState.CANCELED}


@pytest.fixture
def without_machines(serve: Callable[..., Any]) -> Any:
    """An account whose quota allows no machine."""
    made = serve(instant=True)
    made.state.quota.dedicated_cores = 0
    return made


def test_tasks_that_wait_for_a_machine_never_start(without_machines: Any) -> None:
    cloud = without_machines
    cloud.job(*({"id": f"t{n}", "shell": SLEEP} for n in range(3)))
    child = cloud.start()
    cloud.until(lambda: cloud.task_states() == ["active"] * 3)
    canceled(cloud, child)
    assert cloud.starts == []


def test_many_tasks_are_canceled_by_one_request_whose_answer_may_be_lost(
    without_machines: Any,
) -> None:
    cloud = without_machines
    cloud.job(*({"id": f"t{n}", "shell": SLEEP} for n in range(30)))
    ending = "/jobs/*/terminate"
    cloud.emulator.faults.add(Fault(kind="reset", path=ending, after_commit=True))
    child = cloud.start()
    cloud.until(lambda: cloud.task_states() == ["active"] * 30)
    canceled(cloud, child)
    assert cloud.emulator.requests.count("POST", "/jobs/*/tasks/*/terminate") == 0
    assert cloud.emulator.requests.count("POST", ending) == 2


def test_a_running_task_is_stopped_and_keeps_its_log(cloud: Any) -> None:
    cloud.job({"id": "runs", "shell": f"echo begun; {SLEEP}"})
    child = cloud.start()
    cloud.until(lambda: cloud.task_states() == ["running"])
    cloud.says(lambda: "begun" in cloud.cli("logs", "run", "runs").out)
    canceled(cloud, child)


def test_a_task_can_be_canceled_while_it_uploads(
    cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = NodeExecutor._uploaded

    def wait_for_the_order(self: Any, *run: Any) -> Any:
        _outcome, body, _place, control, _blobs = run
        control.changed.clear()
        uploading.append(body["id"])
        control.changed.wait(60)
        return upload(self, *run)

    uploading: list[str] = []
    monkeypatch.setattr(NodeExecutor, "_uploaded", wait_for_the_order)
    cloud.job({"id": "done", "shell": "echo x > out.txt", "outputs": ["out.txt"]})
    child = cloud.start()
    cloud.says(lambda: uploading)
    assert cloud.cli("cancel", "run").code == 0
    child.communicate(timeout=60)
    assert states(cloud) <= {TaskState.CANCELED, TaskState.SUCCEEDED}
    assert cloud.task_states() == ["completed"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_left_goes_on_and_is_taken_up_by_the_same_command(
    cloud: Any, number: signal.Signals
) -> None:
    cloud.job({"id": "alone", "shell": "sleep 1; echo x > out.txt", "outputs": ["out.txt"]})
    child = cloud.start()
    cloud.until(lambda: cloud.task_states() == ["running"])
    child.send_signal(number)
    _, err = child.communicate(timeout=60)
    assert child.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number], err
    assert "Detached" in err
    cloud.until(lambda: cloud.task_states() == ["completed"])
    done = cloud.run()
    assert done.code == 0, done.err
    assert [task for _job, task in cloud.starts] == ["alone"]
