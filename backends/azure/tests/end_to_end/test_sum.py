"""The sum of powers on `azure`: the same sum, and the same bytes, as on this machine's Docker."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import batchcore as bc

pytestmark = pytest.mark.docker

SOURCE = Path(__file__).resolve().parents[4] / "examples" / "sum_of_powers"
SUM = "9.532962532158818"
IMAGE = "sum-of-powers:v1"


@pytest.fixture(scope="module")
def worker_image(docker_client, worker_base_image):
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


@pytest.fixture
def example(cloud, worker_image):
    """A copy of the example in the current directory of the account's commands."""
    cloud.here.rmdir()
    shutil.copytree(SOURCE, cloud.here, ignore=shutil.ignore_patterns("__pycache__", ".batchcore"))
    return cloud


def controller(example, backend: str) -> str:
    """Run the controller and return what it printed last."""
    words = [sys.executable, "controller.py", "--backend", backend, "--dir", f"run-{backend}"]
    done = subprocess.run(
        words, cwd=example.here, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def contents(run: bc.Run) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.output_files}


def test_controller_and_job_file_give_the_sum_and_the_bytes_of_local_docker(example):
    assert controller(example, "azure") == SUM
    assert controller(example, "local-docker") == SUM
    report = example.cli("run", "job.toml", "--backend", "azure", "--dir", "declared", "--json")
    assert report.code == 0, report.err
    names = ("run-azure", "run-local-docker", "declared")
    ours, local, declared = (contents(bc.Run.load(example.here / name)) for name in names)
    assert ours == local == declared
    assert len(ours) == 4
