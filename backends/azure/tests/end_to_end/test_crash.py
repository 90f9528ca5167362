"""``kill -9`` of the controller at every named point, then the same command: the same result.

Batch goes on without a controller, so each task is started once whenever the controller dies.
"""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

import batchcore_azure
from batchcore import crash

CORE = [point for point in crash.POINTS if not point.startswith("engine.")]
OURS = [
    "azure.pool_made",
    "azure.job_made",
    "azure.tasks_added",
    "azure.sealed",
    "azure.deleted",
    "azure.deleted:3",
]
CLEAN = [f"--set=delete_{thing}_when_done=true" for thing in ("pool", "job", "container")]
IDS = ["t0", "t1"]


def job(cloud, *, ids=IDS, shell="cat in > out.txt") -> None:
    """Write a job of tasks that each copy a resource to an output."""
    resources = [{"path": "in", "text": "hello\n"}]
    cloud.job(
        *({"id": name} for name in ids), shell=shell, resources=resources, outputs=["out.txt"]
    )


def killed_at(cloud, monkeypatch, point: str, *more: str) -> bool:
    """Run until the point; return whether it was reached."""
    with monkeypatch.context() as patch:
        patch.setenv(crash.VARIABLE, point)
        done = cloud.process(*cloud.words(*more))
    return done.code == -signal.SIGKILL


def tree(cloud) -> dict[str, str]:
    root = cloud.directory / "outputs"
    found = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_text() for path in found}


def executions(cloud) -> list[str]:
    return sorted(task for _, task in cloud.starts)


@pytest.mark.parametrize("point", CORE + OURS)
def test_a_kill_at_every_point_loses_nothing_and_leaves_nothing(serve, monkeypatch, point):
    cloud = serve(instant=True)
    job(cloud)
    assert killed_at(cloud, monkeypatch, point, *CLEAN)
    done = cloud.run(*CLEAN)
    assert done.code == 0, done.err
    # Machines that run nothing leave an empty file for each output.
    assert tree(cloud) == {f"{name}/out.txt": "" for name in IDS}
    assert executions(cloud) == IDS
    assert (cloud.job_ids(), cloud.pool_ids(), cloud.containers()) == ([], [], [])


def test_of_a_job_that_was_half_added_the_rest_follows(serve, monkeypatch):
    cloud = serve(instant=True, empty_files=False)
    ids = [f"t{number:03}" for number in range(150)]
    cloud.job(*({"id": name} for name in ids), shell="true")
    assert killed_at(cloud, monkeypatch, "azure.tasks_added")
    assert len(cloud.task_states()) == 100
    assert cloud.run().code == 0
    assert executions(cloud) == ids


@pytest.mark.docker
def test_three_kills_while_containers_run_cost_no_second_start(cloud, monkeypatch):
    job(cloud, ids=["t0", "t1", "t2"], shell="sleep 1; cat in > out.txt")
    for point in ("azure.sealed", "poll.received", "collect.recorded:2"):
        assert killed_at(cloud, monkeypatch, point)
    assert cloud.run().code == 0
    assert tree(cloud) == {f"t{number}/out.txt": "hello\n" for number in range(3)}
    assert executions(cloud) == ["t0", "t1", "t2"]


def test_every_point_of_this_backend_is_tested():
    package = Path(batchcore_azure.__file__).parent
    text = "\n".join(path.read_text() for path in package.rglob("*.py"))
    tested = {point.partition(":")[0] for point in OURS}
    assert set(re.findall(r'reach\("([^"]+)"\)', text)) == tested
