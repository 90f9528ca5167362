"""``kill -9`` of the controller at every named point, then the same command: the same result."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import batchcore
from batchcore import crash


@pytest.mark.parametrize("point", crash.POINTS)
def test_local_process_survives_a_kill_at_every_point(controller, point):
    made = controller("local-process")
    assert made.killed_at(point)
    done = made.run()
    assert (done.stdout, done.returncode) == (made.expected(), 0), done.stderr


@pytest.mark.parametrize("point", crash.POINTS)
def test_a_task_whose_end_is_known_is_not_run_again(controller, point):
    made = controller("local-process", tasks=2)
    made.killed_at(point)
    made.run()
    assert made.executions() == {"t0": 1, "t1": 1}


@pytest.mark.docker
@pytest.mark.parametrize("point", crash.POINTS)
def test_local_docker_survives_a_kill_at_every_point(
    controller, point, docker_client, worker_base_image
):
    made = controller("local-docker", worker_base_image, tasks=2)
    assert made.killed_at(point)
    done = made.run()
    assert (done.stdout, done.returncode) == (made.expected(), 0), done.stderr
    assert made.executions() == {"t0": 1, "t1": 1}
    label = f"batchcore.run={made.run_id()}"
    assert docker_client.containers.list(all=True, filters={"label": label}) == []


@pytest.mark.docker
def test_three_kills_in_a_row_leave_the_same_result_and_no_container(
    controller, docker_client, worker_base_image
):
    made = controller("local-docker", worker_base_image, tasks=6, seconds=0.2)
    for point in ("engine.started:2", "collect.recorded:2", "engine.exit_recorded:2"):
        assert made.killed_at(point)
    done = made.run()
    assert (done.stdout, done.returncode) == (made.expected(), 0), done.stderr
    label = f"batchcore.run={made.run_id()}"
    assert docker_client.containers.list(all=True, filters={"label": label}) == []


def test_three_kills_in_a_row_on_local_process(controller):
    made = controller("local-process", tasks=6, seconds=0.1)
    for point in ("engine.started:2", "collect.recorded:2", "engine.exit_recorded:2"):
        assert made.killed_at(point)
    assert made.run().stdout == made.expected()
    assert set(made.executions().values()) == {1}


def test_an_unfinished_file_is_never_among_the_results(controller):
    made = controller("local-process")
    assert made.killed_at("collect.copied")
    made.run()
    names = [path.name for path in (made.directory / "run" / "outputs").rglob("*")]
    assert sorted(names) == ["0.txt", "1.txt", "2.txt", "3.txt"]


def test_every_point_of_the_list_is_somewhere_in_the_code_and_no_other():
    package = Path(batchcore.__file__).parent
    text = "\n".join(path.read_text() for path in package.rglob("*.py"))
    assert set(re.findall(r'reach\("([^"]+)"\)', text)) == set(crash.POINTS)
