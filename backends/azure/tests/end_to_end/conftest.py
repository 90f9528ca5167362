"""Whole runs on `azure` by the command line: emulated Batch, real storage, real containers."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from azure.storage.blob import BlobServiceClient

from batchcore.cli.edge import call
from batchcore.cli.root import root
from batchcore.cli.session import Session
from batchcore.clock import SystemClock
from batchcore.run import Run
from batchcore.testing.faultproxy import FaultProxy, fault_proxy
from batchcore_azure.emulator.azurite import Storage
from batchcore_azure.emulator.cloud import Emulator
from batchcore_azure.emulator.machines import RunSettings
from batchcore_azure.emulator.records import Refusal
from batchcore_azure.emulator.settings import EmulatorSettings

IMAGE = "batchcore-test-base:latest"
SECONDS = 60
LONGEST_SLEEP = 0.1
IMPATIENT = f"""
import sys, time
from batchcore.clock import SystemClock
SystemClock.sleep = lambda self, seconds: time.sleep(min(seconds, {LONGEST_SLEEP}))
from batchcore.cli.edge import call
from batchcore.cli.root import root
from batchcore.cli.session import Session
sys.exit(call(root, Session(sys.argv[1:])))
"""


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What was printed on stdout, which must be JSON and nothing else."""
        return json.loads(self.out)


class Cloud:
    """An account of Azure, and a directory with the job file of a test that uses it.

    `starts` are the tasks that machines have started, in their order: job and task id.
    """

    def __init__(self, emulator: Emulator, blobs: BlobServiceClient, here: Path) -> None:
        self.emulator = emulator
        self.state = emulator.state
        self.blobs = blobs
        self.here = here
        self.directory = here / "run"
        self.starts: list[tuple[str, str]] = []
        self.children: list[subprocess.Popen[str]] = []

    def job(self, *tasks: dict[str, Any], **fields: Any) -> None:
        """Write the job file, of tasks in the test image."""
        job = {"name": "demo", "image": IMAGE, "tasks": list(tasks), **fields}
        (self.here / "job.json").write_text(json.dumps(job))

    def words(self, *more: str) -> list[str]:
        """Return the command that runs the job, and goes on with it."""
        return ["run", "job.json", "--backend", "azure", "--dir", str(self.directory), *more]

    def cli(self, *words: str) -> Done:
        """Run a command in this process."""
        out, err = io.StringIO(), io.StringIO()
        with chdir(self.here), redirect_stdout(out), redirect_stderr(err):
            code = call(root, Session(words))
        return Done(code, out.getvalue(), err.getvalue())

    def run(self, *more: str) -> Done:
        """Run the job to its end, or go on with it, in this process."""
        return self.cli(*self.words(*more))

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command, default the one that runs the job, as a process of its own."""
        child = subprocess.Popen(
            [sys.executable, "-c", IMPATIENT, *(words or self.words())],
            cwd=self.here,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.children.append(child)
        return child

    def process(self, *words: str) -> Done:
        """Run a command as a process of its own, to its end."""
        child = self.start(*words)
        out, err = child.communicate(timeout=SECONDS)
        return Done(child.returncode, out, err)

    def loaded(self) -> Run:
        """Return the run in `directory`."""
        return Run.load(self.directory)

    def until(self, true: Callable[[], object]) -> None:
        """Wait until something is true of the account, looking at each of its changes."""
        with self.state.changed:
            assert self.state.changed.wait_for(true, SECONDS), "it does not come to be"

    def says(self, true: Callable[[], object]) -> None:
        """Wait until something is true that no change of the account shows."""
        deadline = time.monotonic() + SECONDS
        while not true():
            assert time.monotonic() < deadline, "it does not come to be"
            time.sleep(0.02)

    def task_states(self) -> list[str]:
        """Return the state of every task in the account's jobs."""
        return [task.state for job in self.state.jobs() for task in self.state.tasks_of(job.id)]

    def job_ids(self) -> list[str]:
        """Return the account's jobs."""
        return [job.id for job in self.state.jobs()]

    def pool_ids(self) -> list[str]:
        """Return the account's pools."""
        return [pool.id for pool in self.state.pools()]

    def containers(self) -> list[str]:
        """Return the containers of the storage account."""
        return sorted(container.name for container in self.blobs.list_containers())

    def blobs_of(self, container: str) -> list[str]:
        """Return the blobs of a container."""
        return sorted(self.blobs.get_container_client(container).list_blob_names())

    def clear(self) -> None:
        """Leave nothing of a test: processes, jobs, pools, containers."""
        for child in self.children:
            child.kill()
            child.communicate()
        for job in self.job_ids():
            with suppress(Refusal):
                self.state.delete_job(job)
        for pool in self.pool_ids():
            with suppress(Refusal):
                self.state.delete_pool(pool)
        for container in self.containers():
            self.blobs.delete_container(container)
        self.until(lambda: not self.state.jobs() and not self.state.pools())


def counting(cloud: Cloud) -> Callable[..., int]:
    """Return the emulator's own way to start a task, which notes what it starts."""
    start = cloud.state.start_task

    def note(job: str, task: str, *where: str) -> int:
        cloud.starts.append((job, task))
        return start(job, task, *where)

    return note


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait long for news: everything is on this machine."""
    sleep = lambda _clock, seconds: time.sleep(min(seconds, LONGEST_SLEEP))  # noqa: E731
    monkeypatch.setattr(SystemClock, "sleep", sleep)


@pytest.fixture(scope="session")
def blob_service(azurite_storage: Storage) -> Iterator[BlobServiceClient]:
    with BlobServiceClient.from_connection_string(azurite_storage.connection_string) as service:
        yield service


@pytest.fixture(scope="session")
def shared_emulator(azurite_storage: Storage, worker_base_image: str) -> Iterator[Emulator]:
    """One account for all tests, which each test leaves empty."""
    with Emulator(nodes=RunSettings(grace_seconds=0.5), storage=azurite_storage) as emulator:
        yield emulator


@pytest.fixture
def use(
    monkeypatch: pytest.MonkeyPatch, blob_service: BlobServiceClient, tmp_path: Path
) -> Callable[[Emulator], Cloud]:
    """Let `azure` use an account, with a pool of one machine that has four slots."""

    def make(emulator: Emulator) -> Cloud:
        options = {"NODES": "1", "SLOTS_PER_NODE": "4", "AUTOSCALE": "false"}
        environment = {f"BATCHCORE_AZURE_{name}": value for name, value in options.items()}
        for name, value in {**emulator.environment, **environment}.items():
            monkeypatch.setenv(name, value)
        here = tmp_path / emulator.name
        here.mkdir()
        cloud = Cloud(emulator, blob_service, here)
        monkeypatch.setattr(cloud.state, "start_task", counting(cloud))
        return cloud

    return make


@pytest.fixture
def cloud(use: Callable[[Emulator], Cloud], shared_emulator: Emulator) -> Iterator[Cloud]:
    """The account that all tests share, empty."""
    made = use(shared_emulator)
    yield made
    made.clear()


@pytest.fixture
def proxy(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """What stands between everybody and the storage."""
    url = urlsplit(cloud.emulator.storage.url)
    with fault_proxy(url.port) as between:
        address = url._replace(netloc=f"127.0.0.1:{between.port}").geturl()
        monkeypatch.setenv("BATCHCORE_AZURE_STORAGE_ENDPOINT", address)
        yield between


@pytest.fixture
def serve(
    use: Callable[[Emulator], Cloud], azurite_storage: Storage
) -> Iterator[Callable[..., Cloud]]:
    """Serve an account of its own, with habits and machines as given."""
    clouds: list[Cloud] = []

    def make(settings: EmulatorSettings | None = None, **nodes: Any) -> Cloud:
        emulator = Emulator(settings, RunSettings(**nodes), storage=azurite_storage)
        emulator.start()
        clouds.append(use(emulator))
        return clouds[-1]

    yield make
    for cloud in clouds:
        cloud.clear()
        cloud.emulator.stop()
