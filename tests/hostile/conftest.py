"""What a worker leaves when it wants to do harm, made by root in a container or by hand."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batchcore.model import Job, Output, Task
from batchcore.plan import plan_job
from batchcore.states import TaskState
from batchcore.transfer.collect import Fetched, fetch, open_tree, publish
from batchcore.transfer.logs import keep_log

if TYPE_CHECKING:
    import docker

CANARY = b"CANARY: not for the worker"


class Left:
    """A task's directory as a backend of this machine has it, with something of ours beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.task = root / "work" / "task"
        self.wd = self.task / "wd"
        self.outputs = root / "outputs"
        self.incoming = root / "incoming"
        self.canary = root / "canary"
        self.wd.mkdir(parents=True)
        self.canary.write_bytes(CANARY)

    def fetch(self, *outputs: Output | str) -> Fetched:
        job = Job("j", command=["x"], tasks=[Task("t", outputs=outputs)])
        planned = plan_job(job, base=self.root).tasks[0].outputs
        return fetch(planned, TaskState.SUCCEEDED, open_tree(f"file://{self.wd}"), self.incoming)

    def collect(self, *outputs: Output | str) -> dict[str, bytes]:
        """Publish what may be published and return all that lies in outputs/."""
        shutil.rmtree(self.outputs, ignore_errors=True)
        fetched = self.fetch(*outputs)
        publish(fetched, self.outputs)
        for file in fetched.files:
            content = (self.outputs / file.to).read_bytes()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)
        return {
            str(path.relative_to(self.outputs)): path.read_bytes()
            for path in sorted(self.outputs.rglob("*"))
            if not path.is_dir()
        }

    def refusal(self, *outputs: Output | str) -> tuple[str, str]:
        """Return the reason and the words with which outputs are refused; ("", "") if not."""
        refused = self.fetch(*outputs).refused
        return (str(refused.reason), refused.detail) if refused else ("", "")


@contextmanager
def place() -> Iterator[Left]:
    """Give an empty task's directory, in a place whose name is short and open to any user."""
    path = Path(tempfile.mkdtemp(prefix="batchcore-test-"))
    path.chmod(0o755)
    try:
        yield Left(path)
    finally:
        # As pytest cannot: a worker may have made it deep, or closed it.
        subprocess.run(["chmod", "-R", "u+rwX", str(path)], check=False, capture_output=True)
        subprocess.run(["rm", "-rf", str(path)], check=True)


def as_root(client: docker.DockerClient, image: str, left: Left, code: str) -> Left:
    """Run Python as Docker's own root in a container that has the task's directory."""
    client.containers.run(
        image,
        ["python3", "-c", f"import os, socket, stat\n{code}"],
        entrypoint=[],
        user="0:0",
        network_mode="none",
        working_dir="/task/wd",
        volumes={str(left.task): {"bind": "/task", "mode": "rw"}},
        remove=True,
    )
    return left


@pytest.fixture(scope="session")
def new_place() -> Callable[[], AbstractContextManager[Left]]:
    return place


@pytest.fixture
def left() -> Iterator[Left]:
    with place() as made:
        yield made


@pytest.fixture
def escaped(
    left: Left, docker_client: docker.DockerClient, worker_base_image: str
) -> Callable[[str], Left]:
    """Return a function that runs Python in the task's directory as root in a container."""
    return lambda code: as_root(docker_client, worker_base_image, left, code)


@pytest.fixture(scope="module")
def hostile_root(
    docker_client: docker.DockerClient, worker_base_image: str
) -> Iterator[Callable[[str], Left]]:
    """The same for a directory that the tests of a module share."""
    with place() as made:
        yield lambda code: as_root(docker_client, worker_base_image, made, code)


@pytest.fixture
def kept_log() -> Callable[[Left], tuple[str, Path | None]]:
    """Return a function that keeps the task's stdout: why it is lost, or where it is."""

    def keep(left: Left) -> tuple[str, Path | None]:
        target = left.root / "logs" / "stdout.txt"
        lost = keep_log(f"file://{left.task}/stdout.txt", target)
        return lost, target if os.path.lexists(target) else None

    return keep
