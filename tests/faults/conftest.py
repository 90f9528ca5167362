"""Whole runs on both backends of this machine, by the command line, and disks that are small."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pexpect
import pytest

from batchcore.cli.edge import call
from batchcore.cli.root import root
from batchcore.cli.session import Session
from batchcore.record.rundir import is_driven, owner_of
from batchcore.run import Run
from conftest import BASE_IMAGE, lacking

SECONDS = 60
BACKENDS = [
    "local-process",
    pytest.param("local-docker", marks=pytest.mark.docker),
]


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Bench:
    """A directory with a job file, and one backend to run it on.

    `begun` and `gate` are files: a task makes the one, and waits for the other.
    """

    def __init__(self, here: Path, backend: str) -> None:
        self.here = here
        self.backend = backend
        self.image = BASE_IMAGE if backend == "local-docker" else None
        self.directory = here / "run"
        self.shared = here / "shared"
        self.shared.mkdir()
        self.begun = self.shared / "begun"
        self.gate = self.shared / "gate"
        self.started = self.directory / "work/t/1/control/started"
        self.begin = f"touch {self.begun}; while [ ! -e {self.gate} ]; do sleep 0.05; done"

    def job(self, line: str, **fields: Any) -> None:
        """Write a job of one task, `t`, that is a shell line."""
        self.jobs({"t": line}, **fields)

    def jobs(self, lines: dict[str, str], **fields: Any) -> None:
        """Write a job of several tasks with the same fields."""
        tasks = [{"id": name, "shell": line, **fields} for name, line in lines.items()]
        job: dict[str, Any] = {"name": "job", "tasks": tasks}
        if self.image:
            # local-process sees all of this machine, a container what is mounted.
            place = str(self.shared)
            mount = {"path": place, "source": place, "read_only": False}
            job |= {"image": self.image, "mounts": [mount]}
        (self.here / "job.json").write_text(json.dumps(job))

    @property
    def words(self) -> list[str]:
        """The command that runs the job, and goes on with it."""
        options = ["--backend", self.backend, "--dir", str(self.directory)]
        return ["-m", "batchcore", "run", "job.json", *options]

    def run(self) -> Done:
        """Run the job to its end, or go on with it."""
        return self.call(*self.words[2:])

    def call(self, *words: str) -> Done:
        """Run another command to its end."""
        out, err = io.StringIO(), io.StringIO()
        with chdir(self.here), redirect_stdout(out), redirect_stderr(err):
            code = call(root, Session(words))
        return Done(code, out.getvalue(), err.getvalue())

    def wait(self) -> Done:
        """Wait until the run has ended."""
        return self.call("wait", str(self.directory))

    def submit(self) -> Done:
        """Hand the job over to a background driver."""
        return self.call("submit", *self.words[3:])

    @property
    def driver(self) -> int:
        """The process that drives the run, or did so last."""
        owner = owner_of(self.directory)
        assert owner
        return owner.pid

    def kill_driver(self) -> None:
        """Kill the background driver, which nobody's child is, and wait until it has gone."""
        os.kill(self.driver, signal.SIGKILL)
        deadline = time.monotonic() + SECONDS
        while is_driven(self.directory):
            assert time.monotonic() < deadline, "the driver does not go"
            time.sleep(0.02)

    def start(self) -> subprocess.Popen[bytes]:
        """Start the command and return while it runs."""
        return subprocess.Popen(
            [sys.executable, *self.words],
            cwd=self.here,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait_for(self, path: Path) -> None:
        """Wait until a file is there."""
        deadline = time.monotonic() + SECONDS
        while not path.exists():
            assert time.monotonic() < deadline, f"{path} does not appear"
            time.sleep(0.02)

    def task(self, name: str = "t") -> Any:
        """Return what is known of a task."""
        return Run.load(self.directory).task(name)


@pytest.fixture(params=BACKENDS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """A bench for each backend of this machine."""
    made = Bench(tmp_path, request.param)
    if request.param == "local-process":
        yield made
    else:
        client = request.getfixturevalue("docker_client")
        request.getfixturevalue("worker_base_image")
        yield made
        remove_containers(client, made)
    made.gate.touch()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Bench]:
    """A bench for `local-process` alone, where what is shown has nothing to do with the backend."""
    made = Bench(tmp_path, "local-process")
    yield made
    made.gate.touch()


@pytest.fixture
def containers(docker_client: Any, worker_base_image: str, tmp_path: Path) -> Iterator[Bench]:
    """A bench for `local-docker` alone."""
    made = Bench(tmp_path, "local-docker")
    yield made
    remove_containers(docker_client, made)


def remove_containers(client: Any, bench: Bench) -> None:
    """Leave no container of the bench's run, also where a test failed."""
    if (bench.directory / "job.json").exists():
        label = f"batchcore.run={Run.load(bench.directory).id}"
        for container in client.containers.list(all=True, filters={"label": label}):
            container.remove(force=True)


@pytest.fixture
def terminal() -> Iterator[Callable[[Bench], pexpect.spawn]]:
    """Start the command of a bench on a terminal of its own."""
    started = []

    def start(bench: Bench) -> pexpect.spawn:
        child = pexpect.spawn(
            sys.executable,
            bench.words,
            cwd=str(bench.here),
            encoding="utf-8",
            timeout=SECONDS,
            # The tests themselves may run under nohup.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )
        started.append(child)
        return child

    yield start
    for child in started:
        with suppress(OSError):
            child.kill(signal.SIGKILL)
        child.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        lacking("no small file system can be mounted here (it takes root)")
    yield place
    # Lazily: a test that failed may have left a file open in it.
    subprocess.run(["umount", "-l", str(place)], check=True)
