"""`attach`: another machine takes a run up with the URL of its store, and nothing runs twice."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

pytestmark = pytest.mark.docker

TASKS = [
    {"id": "a", "shell": "cat given > out.txt", "outputs": ["out.txt"]},
    {"id": "b", "shell": "echo b > out.txt", "outputs": ["out.txt"], "depends_on": ["a"]},
]


@pytest.fixture
def url(cloud: Any) -> str:
    """The store of a run that is submitted, and whose directory and source are lost."""
    (cloud.here / "given.txt").write_text("given\n")
    cloud.job(*TASKS, resources=[{"path": "given", "source": "given.txt"}])
    _, *words = cloud.words()
    done = cloud.cli("submit", *words, "--json")
    assert done.code == 0, done.err
    store = str(done.data["store"])
    assert f"attach: batchcore attach {store}" in done.err
    shutil.rmtree(cloud.directory)
    (cloud.here / "given.txt").unlink()
    (cloud.here / "job.json").unlink()
    return store


def test_another_machine_collects_what_ran_and_starts_what_waited(cloud: Any, url: str) -> None:
    assert len(cloud.starts) <= 1  # `b` waits for `a`
    assert "azure has 1 of its 2 tasks" in cloud.cli("attach", url, "--dir", "other").err
    done = cloud.cli("wait", "other")
    assert done.code == 0, done.err
    outputs = cloud.here / "other/outputs"
    assert (outputs / "a/out.txt").read_text() == "given\n"
    assert (outputs / "b/out.txt").read_text() == "b\n"
    assert sorted(task for _job, task in cloud.starts) == ["a", "b"]


def test_a_run_that_is_lost_can_be_cleaned_up(cloud: Any, url: str) -> None:
    cloud.cli("attach", url, "--dir", "other")
    assert cloud.cli("cancel", "other").code == 0
    assert cloud.cli("clean", "other", "--yes").code == 0
    assert (cloud.job_ids(), cloud.pool_ids(), cloud.containers()) == ([], [], ["batchcore"])
    assert cloud.blobs_of("batchcore") == []
    assert cloud.cli("attach", url, "--dir", "third").code == 5


def test_what_runs_elsewhere_is_seen_at_once_and_can_be_stopped(cloud: Any) -> None:
    cloud.job(
        {"id": "a", "shell": "true"},
        {"id": "b", "shell": "sleep 600"},
        {"id": "c", "shell": "true", "depends_on": ["b"]},
    )
    _, *words = cloud.words()
    store = cloud.cli("submit", *words, "--json").data["store"]
    cloud.until(lambda: sorted(cloud.task_states()) == ["completed", "running"])
    cloud.directory.rename(cloud.here / "gone")
    cloud.cli("attach", store, "--dir", "other")
    tasks = cloud.cli("status", "other", "--json").data["tasks"]
    assert [task["state"] for task in tasks] == ["finalizing", "running", "pending"]
    done = cloud.cli("cancel", "other", "--yes")
    assert "2 tasks" in done.err
    tasks = cloud.cli("status", "other", "--json").data["tasks"]
    assert [task["state"] for task in tasks] == ["succeeded", "canceled", "canceled"]
    assert cloud.task_states() == ["completed", "completed"]
    assert sorted(task for _job, task in cloud.starts) == ["a", "b"]


def test_attempts_of_a_retry_elsewhere_are_adopted(cloud: Any) -> None:
    cloud.job({"id": "a", "shell": "exit 3"})
    store = cloud.run("--json").data["store"]
    assert cloud.cli("retry", "run").code == 3
    assert len(cloud.starts) == 2
    cloud.cli("attach", store, "--dir", "other")
    assert cloud.cli("wait", "other").code == 3
    assert cloud.cli("retry", "other").code == 3
    assert len(cloud.starts) == 2


def test_settings_that_lead_to_another_store_are_refused(cloud: Any, url: str) -> None:
    done = cloud.cli("attach", url, "--dir", "other", "--set", "container=elsewhere")
    assert done.code == 2
    assert "not az://batchcore/" in done.err
    assert not (cloud.here / "other").exists()


def test_where_there_is_no_container_there_is_no_run(cloud: Any) -> None:
    done = cloud.cli("attach", "az://no-such-container/demo-1234", "--dir", "other")
    assert done.code in {5, 7}
    assert not (cloud.here / "other").exists()
    assert cloud.containers() == []
