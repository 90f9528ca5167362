"""An emulated account whose nodes run tasks, the real SDK on it, and a storage to work with."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.batch import BatchClient
from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.blob import (
    BlobServiceClient,
    ContainerClient,
    ContainerSasPermissions,
    generate_container_sas,
)

from batchcore_azure.emulator.azurite import Storage
from batchcore_azure.emulator.cloud import Emulator
from batchcore_azure.emulator.machines import RunSettings
from batchcore_azure.emulator.records import Task
from batchcore_azure.emulator.settings import EmulatorSettings

WAIT_SECONDS = 60
IMAGE = "batchcore-test-base:latest"
MACHINE = {
    "imageReference": {"publisher": "microsoft-dsvm", "offer": "ubuntu-hpc", "sku": "2404"},
    "nodeAgentSKUId": "batch.node.ubuntu 24.04",
}
Body = dict[str, Any]


class Bucket:
    """A container of its own for each test, and URLs for it."""

    def __init__(self, storage: Storage, service: BlobServiceClient) -> None:
        self.storage = storage
        self.name = f"t{uuid.uuid4().hex}"
        self.client: ContainerClient = service.create_container(self.name)
        self.bare = f"{storage.url}/{self.name}"

    def url(self, *, hours: float = 1, **permissions: bool) -> str:
        token = generate_container_sas(
            self.storage.account,
            self.name,
            account_key=self.storage.key,
            permission=ContainerSasPermissions(**permissions),
            expiry=datetime.now(UTC) + timedelta(hours=hours),
        )
        return f"{self.bare}?{token}"

    def names(self) -> list[str]:
        return sorted(self.client.list_blob_names())

    def read(self, name: str) -> bytes:
        return self.client.download_blob(name).readall()

    def output(self, pattern: str, path: str = "", when: str = "taskcompletion") -> Body:
        """Return an output file that goes to this container."""
        container = {"containerUrl": self.url(create=True, write=True), "path": path}
        return {
            "filePattern": pattern,
            "destination": {"container": container},
            "uploadOptions": {"uploadCondition": when},
        }


class Lab:
    """One account: makes pools, jobs and tasks through the SDK and waits for what they do."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.state = emulator.state
        credential = AzureNamedKeyCredential(emulator.account, emulator.key)
        self.client = BatchClient(emulator.endpoint, credential, retry_total=0)
        self._numbers = itertools.count(1)

    def pool(
        self,
        name: str = "pool",
        *,
        containers: bool = False,
        images: Sequence[str] = (IMAGE,),
        **fields: Any,
    ) -> str:
        machine: Body = dict(MACHINE)
        if containers:
            machine["containerConfiguration"] = {
                "type": "dockerCompatible",
                "containerImageNames": list(images),
            }
        fields.setdefault("targetDedicatedNodes", 1)
        self.client.create_pool(
            {
                "id": name,
                "vmSize": "Standard_D4s_v5",
                "virtualMachineConfiguration": machine,
                **fields,
            }
        )
        return name

    def job(self, name: str = "job", pool: str = "pool", **fields: Any) -> str:
        self.client.create_job({"id": name, "poolInfo": {"poolId": pool}, **fields})
        return name

    def add(self, command: str, name: str | None = None, *, job: str = "job", **fields: Any) -> str:
        name = name or f"task-{next(self._numbers)}"
        self.client.create_task(job, {"id": name, "commandLine": command, **fields})
        return name

    def contain(self, command: str, *, options: str = "", image: str = IMAGE, **fields: Any) -> str:
        """Add a task that runs in a container and sees nothing but its own directory."""
        container = {
            "imageName": image,
            "containerRunOptions": options,
            "containerHostBatchBindMounts": [{"source": "Task"}],
            **fields.pop("container", {}),
        }
        return self.add(command, containerSettings=container, **fields)

    def until(self, true: Callable[[], object]) -> None:
        """Wait until something is true of the account, looking at each of its changes."""
        with self.state.changed:
            assert self.state.changed.wait_for(true, WAIT_SECONDS), "it does not come to be"

    def task(self, name: str, job: str = "job") -> Task:
        return self.state.task(job, name)

    def end(self, name: str, job: str = "job") -> Body:
        """Wait for a task's end and return its `executionInfo` as the SDK reads it."""
        self.until(lambda: self.task(name, job).state == "completed")
        return self.client.get_task(job, name).execution_info.as_dict()

    def running(self, name: str) -> None:
        self.until(lambda: self.task(name).state == "running")

    def failure(self, name: str) -> str:
        """Wait for a task's end and return the code of its failure."""
        return self.end(name)["failureInfo"]["code"]

    def text(self, name: str, file: str = "stdout.txt") -> str:
        return b"".join(self.client.download_task_file("job", name, file)).decode()

    def says(self, name: str, text: str) -> None:
        """Wait until a running task has written this."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not any(text in path.read_text() for path in self.files(name, "stdout.txt")):
            assert time.monotonic() < deadline, f"{name} does not say {text!r}"

    def files(self, name: str, file: str) -> list[Path]:
        """Return a task's file on every node, where the nodes' directories are on this machine."""
        roots = [machine.place.root for machine in self.machines()]
        found = [root / "workitems" / "job" / "job-1" / name / file for root in roots]
        return [path for path in found if path.exists()]

    def machines(self) -> list[Any]:
        return list(self.emulator.scheduler.allocation.machines.values())

    def node_states(self, pool: str = "pool") -> list[str]:
        return [node.state for node in self.state.nodes_of(pool)]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def serve(azurite_storage: Storage) -> Iterator[Callable[..., Lab]]:
    """Serve an account whose nodes behave as given; stopped at the end."""
    labs = []

    def start(settings: EmulatorSettings | None = None, **nodes: Any) -> Lab:
        nodes.setdefault("grace_seconds", 0.2)
        emulator = Emulator(settings, RunSettings(**nodes), storage=azurite_storage)
        emulator.start()
        labs.append(Lab(emulator))
        return labs[-1]

    yield start
    for lab in labs:
        lab.client.close()
        lab.emulator.stop()


@pytest.fixture
def empty(serve: Callable[..., Lab]) -> Lab:
    """An account without a pool."""
    return serve()


@pytest.fixture
def lab(empty: Lab) -> Lab:
    """An account with a pool of one node whose tasks are processes, and a job."""
    empty.pool()
    empty.job()
    return empty


@pytest.fixture
def docker_lab(empty: Lab, worker_base_image: str) -> Lab:
    """An account with a pool of one node whose tasks are containers, and a job."""
    empty.pool(containers=True)
    empty.job()
    return empty


@pytest.fixture(scope="session")
def blob_service(azurite_storage: Storage) -> Iterator[BlobServiceClient]:
    with BlobServiceClient.from_connection_string(azurite_storage.connection_string) as service:
        yield service


@pytest.fixture
def bucket(azurite_storage: Storage, blob_service: BlobServiceClient) -> Bucket:
    return Bucket(azurite_storage, blob_service)


@pytest.fixture
def other_bucket(azurite_storage: Storage, blob_service: BlobServiceClient) -> Bucket:
    return Bucket(azurite_storage, blob_service)
