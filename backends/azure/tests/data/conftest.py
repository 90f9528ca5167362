"""A storage account in a real Azurite, behind a proxy that can go wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from azure.storage.blob import BlobServiceClient

from batchcore.backend import RunContext, TaskSubmission
from batchcore.model import Job, Output, Task
from batchcore.plan import Plan, PlannedTask, plan_job
from batchcore.testing.faultproxy import FaultProxy, fault_proxy
from batchcore_azure import names
from batchcore_azure.auth import Account
from batchcore_azure.blobs import BlobFileSystem
from batchcore_azure.fast import FastFileSystem
from batchcore_azure.settings import AzureSettings
from batchcore_azure.storage import Storage


class Place:
    """One run's place in storage; `blobs` reaches it past the proxy and what is tested."""

    def __init__(self, azurite: Any, proxy: FaultProxy, directory: Path, run_id: str) -> None:
        self.azurite = azurite
        self.proxy = proxy
        self.endpoint = f"http://127.0.0.1:{proxy.port}/{azurite.account}"
        self.directory = directory
        self.run = self.run_of(run_id)
        self.settings = self.settings_with()
        self.environ = {"BATCH_ACCOUNT_KEY": "Q0FOQVJZ", "STORAGE_ACCOUNT_KEY": azurite.key}
        self.account = Account(self.settings, self.environ)
        self.storage = Storage(self.settings, self.account)
        self.blobs = BlobServiceClient.from_connection_string(azurite.connection_string)
        self.container = names.output_container(run_id)

    def settings_with(self, **changes: Any) -> AzureSettings:
        return AzureSettings(
            endpoint="http://127.0.0.1:9",
            storage_account=self.azurite.account,
            storage_endpoint=self.endpoint,
            **changes,
        )

    def run_of(self, run_id: str) -> RunContext:
        plan = Plan(name="j", base=str(self.directory), spec_hash="5bec", tasks=())
        return RunContext(run_id=run_id, plan=plan, directory=self.directory)

    def left(self, files: dict[str, bytes], task: str = "t") -> str:
        """Put what a task has written where the service does; return the URL of its tree."""
        prefix = names.working_prefix(self.run.run_id, task, 1)
        for name, content in files.items():
            self.blobs.get_blob_client(self.container, f"{prefix}/{name}").upload_blob(
                content, overwrite=True
            )
        return f"az://{self.container}/{prefix}"

    def planned(self, *outputs: Output | str) -> PlannedTask:
        job = Job("j", image="x", command=["x"], tasks=[Task("t", outputs=outputs)])
        return plan_job(job, base=self.directory).tasks[0]

    def attempt(self, task: str = "t") -> TaskSubmission:
        return TaskSubmission(PlannedTask(id=task, command=("x",), image="x", spec_hash="h"), 1)


@pytest.fixture
def place(
    azurite_storage: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[Place]:
    """A run whose containers are there."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    run_id = f"r-{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]}"
    port = urlsplit(azurite_storage.url).port
    with fault_proxy(port) as proxy:
        made = Place(azurite_storage, proxy, tmp_path, run_id)
        made.storage.store(made.run)
        yield made
        made.storage.close()
        made.account.close()
        made.blobs.close()


@pytest.fixture(params=[BlobFileSystem, FastFileSystem], ids=["plain", "fast"])
def blobs(request: pytest.FixtureRequest, place: Place) -> Iterator[BlobFileSystem]:
    """The file system of the account, without obstore and with it."""
    made = request.param(place.account)
    yield made
    made.close()
