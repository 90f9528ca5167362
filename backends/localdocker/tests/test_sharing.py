"""Whether a daemon sees a directory of this machine."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import docker
import docker.errors
import pytest

from batchcore_localdocker.sharing import daemon_sees

from .daemon import IMAGE, private_daemon

pytestmark = pytest.mark.docker


@pytest.fixture
def labels() -> dict[str, str]:
    return {"batchcore.run": f"t-{uuid.uuid4().hex[:12]}"}


@pytest.fixture
def image_id(docker_client: docker.DockerClient, worker_base_image: str) -> str:
    return str(docker_client.images.get(worker_base_image).id)


@pytest.fixture
def client(
    docker_client: docker.DockerClient, labels: dict[str, str]
) -> Iterator[docker.APIClient]:
    yield docker_client.api
    [label] = [f"{name}={value}" for name, value in labels.items()]
    assert docker_client.api.containers(all=True, filters={"label": label}) == []


def test_a_daemon_of_this_machine_sees_its_directories(
    client: docker.APIClient, image_id: str, labels: dict[str, str], tmp_path: Path
) -> None:
    assert daemon_sees(client, image_id, tmp_path, labels)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_with_a_hard_name_is_seen(
    client: docker.APIClient, image_id: str, labels: dict[str, str], tmp_path: Path
) -> None:
    hard = tmp_path / 'a: b,c="d" #?%\n日'
    hard.mkdir()
    assert daemon_sees(client, image_id, hard, labels)


def test_a_daemon_that_has_something_else_there_does_not_see_it(
    tmp_path: Path, labels: dict[str, str]
) -> None:
    with private_daemon() as daemon, closing(daemon.client()) as client:
        image = client.inspect_image(IMAGE)["Id"]
        assert daemon_sees(client, image, tmp_path, labels)
        below = tmp_path / "hidden" / "below"
        below.mkdir(parents=True)
        daemon.hide(below)
        assert not daemon_sees(client, image, below, labels)
        daemon.hide(below.parent)
        assert not daemon_sees(client, image, below, labels)
        assert client.containers(all=True) == []
        assert list(below.iterdir()) == []


def test_an_image_that_is_gone_is_no_answer(
    client: docker.APIClient, labels: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(docker.errors.ImageNotFound):
        daemon_sees(client, f"sha256:{'0' * 64}", tmp_path, labels)
    assert list(tmp_path.iterdir()) == []
