"""What the tests of several examples share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batchcore_azure.emulator.fixture import (  # noqa: TID251 - the fixtures it ships
    azure_emulator,
    azurite_storage,
)

if TYPE_CHECKING:
    import docker

__all__ = ["azure_emulator", "azurite_storage"]

SOURCE = Path(__file__).resolve().parents[2] / "examples" / "sum_of_powers"
IMAGE = "sum-of-powers:v1"


@pytest.fixture(scope="session")
def worker_image(docker_client: docker.DockerClient, worker_base_image: str) -> Iterator[str]:
    """The image of the example's own Dockerfile; a tag that was there before is put back."""
    before = docker_client.images.list(name=IMAGE)
    docker_client.images.build(
        path=str(SOURCE), tag=IMAGE, buildargs={"BASE_IMAGE": worker_base_image}, rm=True
    )
    yield IMAGE
    if before:
        before[0].tag(IMAGE)
    else:
        docker_client.images.remove(IMAGE)
