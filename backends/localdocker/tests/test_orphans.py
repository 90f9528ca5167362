"""Containers of runs whose directory is gone: which are deleted, and which stay."""

from __future__ import annotations

import shutil
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from batchcore_localdocker.backend import create
from batchcore_localdocker.orphans import _is_orphan
from batchcore_localdocker.settings import LocalDockerSettings
from batchcore_localdocker.translate import this_machine

if TYPE_CHECKING:
    from typing import Any

    import docker

pytestmark = pytest.mark.docker

Make = Callable[..., str]
Look = Callable[..., list[str]]


@pytest.fixture
def make(docker_client: docker.DockerClient, worker_base_image: str) -> Iterator[Make]:
    """Create a container with these labels, and return its name."""
    made = []

    def create_container(directory: Path | None, run: str = "", machine: str = "") -> str:
        run = run or f"t-{uuid.uuid4().hex[:12]}"
        labels = {"batchcore.run": run}
        if directory is not None:
            labels["batchcore.directory"] = f"{machine or this_machine()}:{directory}"
        made.append(docker_client.containers.create(worker_base_image, "true", labels=labels))
        return str(made[-1].name)

    yield create_container
    for container in made:
        with_id = docker_client.containers.list(all=True, filters={"id": container.id})
        for one in with_id:
            one.remove(force=True)


@pytest.fixture
def orphans(docker_client: docker.DockerClient) -> Look:
    """Return what is found, or deleted, of one container, or of one run."""

    def look(name: str, *, dry_run: bool = True, keep: tuple[str, ...] = ()) -> list[str]:
        listed = docker_client.containers.list(all=True, filters={"label": "batchcore.run"})
        # Another test's containers are not to be deleted.
        others = {c.labels["batchcore.run"] for c in listed if name not in str(c.name)}
        backend = create(LocalDockerSettings())
        try:
            return list(backend.release_orphans({*keep, *others}, dry_run=dry_run))
        finally:
            backend.close()

    return look


def test_a_container_whose_run_directory_is_gone_is_deleted(
    make: Make, orphans: Look, docker_client: docker.DockerClient, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    name = make(gone)
    line = f"container {name} (created); {gone} is gone"
    assert orphans(name) == [line]
    assert orphans(name, dry_run=False) == [line]
    assert orphans(name) == []
    assert docker_client.containers.list(all=True, filters={"name": name}) == []


def test_a_container_whose_run_directory_is_there_stays(
    make: Make, orphans: Look, tmp_path: Path
) -> None:
    assert orphans(make(tmp_path)) == []


def test_a_container_of_a_run_that_was_moved_stays(
    make: Make, orphans: Look, tmp_path: Path
) -> None:
    assert orphans(make(tmp_path / "gone", run="t-moved"), keep=("t-moved",)) == []


def test_a_container_of_another_machine_stays(make: Make, orphans: Look, tmp_path: Path) -> None:
    assert orphans(make(tmp_path / "gone", machine="elsewhere")) == []


@pytest.mark.parametrize("state", ["running", "paused", "restarting"])
def test_a_container_at_work_stays_where_the_disk_of_its_run_may_be_out_of_reach(
    state: str, tmp_path: Path
) -> None:
    def found(directory: Path, state: str) -> bool:
        labels = {"batchcore.run": "t", "batchcore.directory": f"{this_machine()}:{directory}"}
        return _is_orphan({"Labels": labels, "State": state}, ())

    assert found(tmp_path / "gone", state)
    assert not found(tmp_path / "disk" / "gone", state)
    assert found(tmp_path / "disk" / "gone", "exited")


def test_a_container_of_a_machine_with_the_same_name_stays(
    make: Make, orphans: Look, tmp_path: Path
) -> None:
    assert orphans(make(tmp_path / "gone", machine=f"{socket.gethostname()}/another")) == []


@pytest.mark.parametrize("directory", [None, Path("relative")])
def test_a_container_that_does_not_tell_its_directory_stays(
    make: Make, orphans: Look, directory: Path | None
) -> None:
    assert orphans(make(directory)) == []


def test_what_an_attempt_makes_tells_its_run_directory(
    lab: Any, orphans: Look, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    attempt = lab.attempt("sleep", "300")
    inside = replace(attempt, directory=run / "work" / "one" / "1")
    inside.working_directory.mkdir(parents=True)
    inside.control.mkdir()
    runner = lab.runner(slots=1)
    runner.prepare([inside.task] * 3, print)  # so many that a network is kept ready for them
    assert runner.start(inside) is None
    assert orphans(lab.run_id) == []
    shutil.rmtree(run)
    kinds = {line.split(" (")[0].rpartition("-")[0] for line in orphans(lab.run_id)}
    assert kinds == {
        f"container bc-{lab.run_id}-one",  # the attempt's own
        f"container bc-{lab.run_id}-network",  # its network's
    }
