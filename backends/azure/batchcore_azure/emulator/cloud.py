"""The whole emulated cloud: the Batch service, its nodes, and the storage they work with."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from batchcore_azure.emulator.azurite import Azurite, Storage
from batchcore_azure.emulator.blobs import Identities
from batchcore_azure.emulator.execution import Executor, InstantExecutor, NodeExecutor
from batchcore_azure.emulator.faults import Faults, Requests
from batchcore_azure.emulator.files import NodeFiles
from batchcore_azure.emulator.machines import RunSettings
from batchcore_azure.emulator.places import LABEL
from batchcore_azure.emulator.scheduler import Scheduler
from batchcore_azure.emulator.service import Service
from batchcore_azure.emulator.settings import EmulatorSettings
from batchcore_azure.emulator.startable import Startable
from batchcore_azure.emulator.state import State

_LOOPBACK = ("127.0.0.1", "localhost")


class Emulator(Startable):
    """An account of Azure Batch on this machine, with nodes that run tasks, and its storage.

    `storage` is an account that is there; without one an Azurite is started, and stopped with the
    emulator. `port` 0 is any free one, which is taken at once. Raises `EnvironmentNotReady` where
    there is no Azurite, `OSError` where the port is taken.
    """

    def __init__(
        self,
        settings: EmulatorSettings | None = None,
        nodes: RunSettings | None = None,
        *,
        storage: Storage | None = None,
        azurite: Azurite | None = None,
        port: int = 0,
    ) -> None:
        """Take the port; nothing answers yet."""
        self._nodes = nodes or RunSettings()
        self._azurite = None if storage else azurite or Azurite()
        self._storage = storage
        self._service = Service(settings, port=port)
        self._stack = ExitStack()
        self.name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.scheduler: Scheduler | None = None

    def start(self) -> None:
        """Start the storage, the nodes and the service."""
        with ExitStack() as stack:
            stack.callback(self._service.stop)
            if self._azurite is not None:
                self._storage = stack.enter_context(self._azurite).storage
            root = Path(tempfile.mkdtemp(prefix="batchcore-emulator-"))
            stack.callback(shutil.rmtree, root, ignore_errors=True)
            # Tasks run as other users; they must reach their own directory, not list the others.
            root.chmod(0o711)
            scheduler = Scheduler(self.state, self._executor(), root, self._nodes)
            scheduler.start()
            stack.callback(scheduler.stop)
            self.scheduler, allocation = scheduler, scheduler.allocation
            self._service.start(NodeFiles(self.state, allocation), allocation.evaluate)
            self._stack = stack.pop_all()

    def stop(self) -> None:
        """Kill what runs and remove all of it; may be called again."""
        self._service.stop()
        self._stack.close()

    def _executor(self) -> Executor:
        storage = self.storage
        identities = Identities(storage.account, storage.key, frozenset(self._nodes.identities))
        if self._nodes.instant:
            return InstantExecutor(identities, empty_files=self._nodes.empty_files)
        return NodeExecutor(self.name, identities, grace=self._nodes.grace_seconds)

    @property
    def containers_label(self) -> str:
        """The label that the containers of this emulator's tasks have."""
        return f"{LABEL}={self.name}"

    @property
    def endpoint(self) -> str:
        """The URL of the Batch account."""
        return self._service.url

    @property
    def account(self) -> str:
        """The name of the Batch account."""
        return self._service.settings.account

    @property
    def key(self) -> str:
        """The key of the Batch account."""
        return self._service.settings.key

    @property
    def storage(self) -> Storage:
        """The storage account; Azurite's is known once it has started."""
        if self._storage is None:
            raise RuntimeError("the emulator has not been started")
        return self._storage

    @property
    def state(self) -> State:
        """What the account holds; accidents are ordered here, as `preempt_node`."""
        return self._service.state

    @property
    def faults(self) -> Faults:
        """Faults of the service to come."""
        return self._service.faults

    @property
    def requests(self) -> Requests:
        """The requests that the service was sent."""
        return self._service.requests

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which `azure` uses this account and no other.

        Under batchcore's own names, which outrank all others, and under super_batch's.
        """
        storage = self.storage
        return {
            "BATCHCORE_AZURE_ENDPOINT": self.endpoint,
            "BATCHCORE_AZURE_ACCOUNT_NAME": self.account,
            "BATCHCORE_AZURE_BATCH_ACCOUNT_KEY": self.key,
            "BATCHCORE_AZURE_STORAGE_ACCOUNT": storage.account,
            "BATCHCORE_AZURE_STORAGE_ENDPOINT": storage.url,
            "BATCHCORE_AZURE_STORAGE_ACCOUNT_CONNECTION_STRING": storage.connection_string,
            "BATCH_ACCOUNT_NAME": self.account,
            "BATCH_ACCOUNT_ENDPOINT": self.endpoint,
            "BATCH_ACCOUNT_KEY": self.key,
            "STORAGE_ACCOUNT_NAME": storage.account,
            "STORAGE_ACCOUNT_KEY": storage.key,
            "STORAGE_ACCOUNT_CONNECTION_STRING": storage.connection_string,
            **without_proxy(os.environ),
        }


def without_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that keep the SDKs from asking a proxy for this machine."""
    known = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    hosts = [host for host in known.split(",") if host]
    text = ",".join([*hosts, *(host for host in _LOOPBACK if host not in hosts)])
    return {"NO_PROXY": text, "no_proxy": text}
