"""The files of the tutorial run where `test_pages` only checks its commands: in containers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batchcore_azure.emulator.fixture import (  # noqa: TID251 - the fixtures it ships
    azure_emulator,
    azurite_storage,
)

sys.path.insert(0, str(Path(__file__).resolve().parent))

from test_pages import ROOT, blocks, files_before, write

if TYPE_CHECKING:
    import docker

__all__ = ["azure_emulator", "azurite_storage"]

pytestmark = pytest.mark.docker

PAGE = ROOT / "docs/tutorial/5-move-it-to-azure.md"
IMAGE = "myregistry.azurecr.io/means:v1"
MEANS = "east 2.95\nnorth 5.3\nsouth 10.5\nwest 7.1\n"


@pytest.fixture
def tutorial(
    tmp_path: Path, docker_client: docker.DockerClient, worker_base_image: str
) -> Iterator[Path]:
    """The directory that a reader has after page 5, with the image built."""
    for block in [*files_before(PAGE), *(block for block in blocks(PAGE) if block.file)]:
        write(block, tmp_path)
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("python:3.12-slim", worker_base_image))
    docker_client.images.build(path=str(tmp_path), tag=IMAGE, rm=True)
    yield tmp_path
    docker_client.images.remove(IMAGE, force=True)


def controller(place: Path, backend: str) -> str:
    """Run the controller as a reader does, and return its standard output."""
    done = subprocess.run(
        [sys.executable, "controller.py", "--backend", backend],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_in_containers_the_tutorial_gives_the_lines_of_the_loop(tutorial: Path) -> None:
    assert controller(tutorial, "local-docker") == MEANS


def test_on_azure_the_tutorial_gives_the_same_lines(
    tutorial: Path, azure_emulator: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_PASSWORD", "no real one")
    assert controller(tutorial, "azure") == MEANS
