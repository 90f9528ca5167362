"""The example gives one sum, whichever way and wherever it runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import batchcore as bc

if TYPE_CHECKING:
    import docker

SOURCE = Path(__file__).resolve().parents[2] / "examples" / "sum_of_powers"
SUM = "9.532962532158818"
PLACES = [f"task_{i}_output.pickle" for i in range(4)]
BACKENDS = ["local-process", pytest.param("local-docker", marks=pytest.mark.docker)]


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A copy of the example, so that what it leaves is not left in the checkout."""
    copy = tmp_path / "sum_of_powers"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__", ".batchcore"))
    return copy


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> str:
    """The name of a backend that is ready to run the example."""
    if request.param == "local-docker":
        request.getfixturevalue("worker_image")
    return str(request.param)


def python(*arguments: str, cwd: Path) -> str:
    """Run this Python and return its standard output; fail with all it said."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def controller(example: Path, backend: str) -> str:
    """Run the controller and return the last line it printed."""
    return python("controller.py", "--backend", backend, cwd=example).splitlines()[-1]


def job_file(example: Path, backend: str = "local-process") -> dict[str, Any]:
    """Run the job file and return the report."""
    words = ("-m", "batchcore", "run", "job.toml", "--backend", backend, "--json")
    return dict(json.loads(python(*words, cwd=example)))


def only_run(example: Path) -> bc.Run:
    """Return the one run that the example has left."""
    (header,) = (example / ".batchcore").glob("*/job.json")
    return bc.Run.load(header.parent)


def digests(run: bc.Run) -> dict[str, str]:
    """Return the SHA-256 of every output by its name."""
    return {o.file.name: o.sha256 for task in run.tasks for o in task.outputs}


def reported(report: dict[str, Any]) -> dict[str, str]:
    """Return the same from a report in JSON."""
    return {
        Path(output["file"]).name: output["sha256"]
        for task in report["tasks"]
        for output in task["outputs"]
    }


def test_the_plain_loop(example: Path) -> None:
    assert python("loop.py", cwd=example) == f"{SUM}\n"


@pytest.mark.parametrize("backend", BACKENDS, indirect=True)
def test_the_controller_gives_the_sum_of_the_loop(example: Path, backend: str) -> None:
    assert controller(example, backend) == SUM
    run = only_run(example)
    assert [path.name for path in run.output_files] == PLACES
    run.verify()


@pytest.mark.parametrize("backend", BACKENDS, indirect=True)
def test_the_job_file_gives_the_bytes_of_the_controller(
    example: Path, backend: str, tmp_path: Path
) -> None:
    shutil.copytree(example, tmp_path / "other")
    controller(example, "local-process")
    report = job_file(tmp_path / "other", backend)
    assert report["state"] == "succeeded"
    assert reported(report) == digests(only_run(example))


def test_the_job_file_is_the_same_work_as_the_controller(example: Path) -> None:
    controller(example, "local-process")
    before = only_run(example)
    report = job_file(example)
    assert report["run"] == before.id
    assert only_run(example).tasks == before.tasks


@pytest.mark.parametrize("backend", BACKENDS, indirect=True)
def test_a_second_time_runs_nothing_again(example: Path, backend: str) -> None:
    controller(example, backend)
    before = only_run(example).tasks
    assert controller(example, backend) == SUM
    # Attempts and times too.
    assert only_run(example).tasks == before


@pytest.mark.parametrize("file", ["task.py", "worker.py"])
def test_an_edit_of_the_work_is_a_new_run(example: Path, file: str) -> None:
    controller(example, "local-process")
    with (example / file).open("a") as stream:
        stream.write("# edited\n")
    assert controller(example, "local-process") == SUM
    assert len(list((example / ".batchcore").glob("*/job.json"))) == 2


@pytest.mark.docker
def test_no_container_is_left(
    example: Path, worker_image: str, docker_client: docker.DockerClient
) -> None:
    controller(example, "local-docker")
    label = f"batchcore.run={only_run(example).id}"
    assert docker_client.containers.list(all=True, filters={"label": label}) == []


def test_the_example_leaves_nothing_but_the_run(example: Path) -> None:
    before = {path.name for path in example.iterdir()}
    controller(example, "local-process")
    after = {path.name for path in example.iterdir()} - {"__pycache__"}
    assert after - before == {".batchcore"}
