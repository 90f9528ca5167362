"""`replay`: a task of a run on Azure runs again on this machine, with what it had there."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.docker


def run_then_lose_the_source(cloud: Any, shell: str, code: int) -> None:
    """Run a task with a resource to its end; then the resource's file is another one."""
    (cloud.here / "in.txt").write_text("as it was")
    resources = [{"path": "in.txt", "source": "in.txt"}]
    cloud.job({"id": "a", "shell": shell, "outputs": ["out.txt"]}, resources=resources)
    done = cloud.run()
    assert done.code == code, done.err
    (cloud.here / "in.txt").write_text("otherwise")


@pytest.mark.parametrize("code", [0, 3])
def test_a_task_ends_here_as_it_did_there(cloud: Any, code: int) -> None:
    run_then_lose_the_source(cloud, f"cat in.txt | tee out.txt; exit {code}", code)
    assert len(cloud.starts) == 1
    done = cloud.cli("replay", "./run", "--task", "a", "--json")
    assert done.code == 0, done.err
    assert done.data["backend"] == "local-docker"
    assert done.data["resources"] == [{"path": "in.txt", "origin": "store"}]
    assert done.data["logs"] == []
    assert len(cloud.starts) == 1


def test_after_a_clean_up_the_store_has_nothing_any_more(cloud: Any) -> None:
    run_then_lose_the_source(cloud, "cat in.txt; exit 3", 3)
    assert cloud.cli("clean", "./run", "--yes").code == 0
    done = cloud.cli("replay", "./run", "--task", "a")
    assert done.code == 7
    assert "nor in its store" in done.err
    assert cloud.blobs_of("batchcore") == []


def test_it_can_run_there_again(cloud: Any) -> None:
    run_then_lose_the_source(cloud, "cat in.txt > out.txt", 0)
    done = cloud.cli("replay", "./run", "--task", "a", "--backend", "azure", "--json")
    assert done.code == 0, done.err
    assert [output["change"] for output in done.data["outputs"]] == ["same"]
    assert len(cloud.starts) == 2
    assert cloud.cli("replay", "./run", "--task", "a", "-b", "azure", "--shell").code == 2
