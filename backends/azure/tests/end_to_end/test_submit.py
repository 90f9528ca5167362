"""`submit` leaves a run to the service; `wait` brings the results and does what waits."""

from __future__ import annotations

from typing import Any

import pytest

from batchcore.record.rundir import is_driven
from batchcore.states import TaskState

pytestmark = pytest.mark.docker


def submit(cloud: Any) -> Any:
    _, *words = cloud.words()
    return cloud.cli("submit", *words)


def test_what_is_submitted_goes_on_without_a_process_here(cloud: Any) -> None:
    cloud.job({"id": "a", "shell": "echo x > out.txt", "outputs": ["out.txt"]})
    done = submit(cloud)
    assert done.code == 0, done.err
    assert "goes on at azure" in done.err
    assert not is_driven(cloud.directory)
    cloud.until(lambda: cloud.task_states() == ["completed"])
    assert cloud.loaded().state == "running"
    assert cloud.cli("wait", "run").code == 0
    assert (cloud.directory / "outputs/a/out.txt").read_text() == "x\n"


def test_what_waits_for_another_task_is_done_by_wait(cloud: Any) -> None:
    cloud.job({"id": "a", "shell": "true"}, {"id": "b", "shell": "true", "depends_on": ["a"]})
    assert submit(cloud).code == 0
    assert {task.id for task in cloud.loaded().tasks if task.state is TaskState.PENDING} == {"b"}
    assert cloud.cli("wait", "run").code == 0
    assert [task.attempt for task in cloud.loaded().tasks] == [1, 1]


def test_submitting_again_adopts_what_is_there(cloud: Any) -> None:
    cloud.job({"id": "a", "shell": "true"})
    submit(cloud)
    assert submit(cloud).code == 0
    assert cloud.cli("wait", "run").code == 0
    assert len(cloud.starts) == 1
