"""`azure`: the emulated account with real containers; a proxy stands before its storage."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from azure.storage.blob import BlobServiceClient

from batchcore.testing.faultproxy import Fault as StorageFault
from batchcore.testing.faultproxy import FaultProxy, fault_proxy
from batchcore_azure.emulator.cloud import Emulator
from batchcore_azure.emulator.faults import Fault as ServiceFault
from batchcore_azure.emulator.machines import RunSettings
from batchcore_azure.emulator.records import Refusal
from conftest import BASE_IMAGE

from .drawing import Drawn, Fault
from .world import SLOTS, World

# The account is on this machine, so nobody waits long for news of it.
IMPATIENT = """
import sys, time
from azure.core.pipeline.transport import RequestsTransport
from batchcore.clock import SystemClock
SystemClock.sleep = lambda self, seconds: time.sleep(min(seconds, 0.4))
RequestsTransport.sleep = lambda self, seconds: time.sleep(min(seconds, 0.4))
from batchcore.cli.edge import call
from batchcore.cli.root import root
from batchcore.cli.session import Session
sys.exit(call(root, Session(sys.argv[1:])))
"""
# What a run asks of the service, each with its method.
PLACES = (
    *(("POST", "/pools"), ("POST", "/jobs"), ("POST", "/jobs/*/addtaskcollection")),
    *(("PATCH", "/jobs/*"), ("GET", "/jobs/*/tasks"), ("GET", "/jobs/*"), ("GET", "/pools/*")),
)


class AzureWorld(World):
    """Machines are preempted and lost; the service and the storage are busy, slow and lose answers.

    What a machine downloads is never altered, as neither Batch nor batchcore could see it there.
    """

    program = (sys.executable, "-c", IMPATIENT)
    restarts = True

    def __init__(
        self,
        here: Path,
        drawn: Drawn,
        emulator: Emulator,
        proxy: FaultProxy,
        blobs: BlobServiceClient,
    ) -> None:
        super().__init__(here, drawn)
        self.emulator = emulator
        self._proxy = proxy
        self._blobs = blobs
        self._planned: list[tuple[str, ServiceFault | StorageFault]] = []
        self._before = self._containers()
        url = urlsplit(emulator.storage.url)
        options = {
            "STORAGE_ENDPOINT": url._replace(netloc=f"127.0.0.1:{proxy.port}").geturl(),
            "NODES": "0" if drawn.spot else "1",
            "SPOT_NODES": "1" if drawn.spot else "0",
            "SLOTS_PER_NODE": SLOTS,
            "AUTOSCALE": "false",
        }
        mine = {f"BATCHCORE_AZURE_{name}": value for name, value in options.items()}
        self.environment = {**emulator.environment, **mine}

    def fields(self) -> Mapping[str, Any]:
        return {"image": BASE_IMAGE}

    def starts(self) -> Counter[str]:
        return Counter()

    def strike(self, fault: Fault) -> bool:
        if fault.kind in {"preempt", "lose"}:
            return self._hit_machine(fault)
        if fault.kind.startswith("storage-"):
            planned = _of_storage(fault)
            self._proxy.add(planned)
        else:
            planned = _of_service(fault)
            self.emulator.faults.add(planned)
        self._planned.append((fault.kind, planned))
        return True

    def _hit_machine(self, fault: Fault) -> bool:
        state, spot = self.emulator.state, self.drawn.spot
        with suppress(Refusal), state.changed:
            for pool in state.pools():
                for node in state.nodes_of(pool.id):
                    if fault.kind == "preempt" and spot:
                        state.preempt_node(pool.id, node.id)
                    else:
                        state.lose_node(pool.id, node.id)
                        state.add_node(pool.id, dedicated=not spot)
                    return True
        return False

    def unmet(self) -> list[str]:
        met = self._requests_met()
        return [kind for kind, fault in self._planned if not met.get(id(fault))]

    def pending(self) -> bool:
        met = self._requests_met()
        return any(met.get(id(fault), 0) < fault.times for _kind, fault in self._planned)

    def _requests_met(self) -> dict[int, int]:
        """Return how many requests each planned fault has met."""
        met = {id(fault): count[0] for fault, count in self.emulator.faults._planned}
        met |= {id(fault): len(requests) for fault, requests in self._proxy._faults}
        return met

    def calm(self) -> None:
        self.emulator.faults.clear()
        self._proxy.clear()

    def left(self, run_id: str) -> Iterator[str]:
        state = self.emulator.state
        with state.changed:
            state.changed.wait_for(lambda: not (state.jobs() or state.pools()), timeout=30)
            yield from (f"job {job.id}" for job in state.jobs())
            yield from (f"pool {pool.id}" for pool in state.pools())
        shared = {"batchcore"}
        yield from (f"container {name}" for name in self._containers() - self._before - shared)
        for container in shared & self._containers():
            for blob in self._blobs.get_container_client(container).list_blob_names():
                if run_id in blob:
                    yield f"blob {container}/{blob}"

    def _containers(self) -> set[str]:
        return {container.name for container in self._blobs.list_containers()}


def _of_service(fault: Fault) -> ServiceFault:
    method, path = PLACES[int(fault.pick * len(PLACES))]
    where = {"method": method, "path": path}
    busy = {"status": 429, "code": "TooManyRequests"} if fault.pick < 0.5 else {}
    if fault.kind == "busy":
        return ServiceFault(kind="status", times=2, **where, **busy)
    if fault.kind == "busy-time":
        return ServiceFault(kind="status", headers={"Retry-After": "1"}, **where, **busy)
    if fault.kind == "lost-answer":
        return ServiceFault(kind="reset", after_commit=True, **where)
    if fault.kind == "slow":
        return ServiceFault(kind="delay", seconds=1 + fault.pick, times=3)
    if fault.kind == "short-answer":
        return ServiceFault(kind="short_body", **where)
    return ServiceFault(kind="entries", path="/jobs/*/addtaskcollection")


def _of_storage(fault: Fault) -> StorageFault:
    if fault.kind == "storage-busy":
        return StorageFault(kind="status", status=429 if fault.pick < 0.5 else 503, times=3)
    if fault.kind == "storage-refuse":
        return StorageFault(kind="refuse", times=2)
    if fault.kind == "storage-lost":
        return StorageFault(kind="lose", times=2)
    kinds = ("cut", "short", "flip")
    return StorageFault(kind=kinds[int(fault.pick * 3)], method="GET", path=r"/wd/")


@contextmanager
def azure_world(here: Path, drawn: Drawn, storage: Any) -> Iterator[AzureWorld]:
    """Give an account of the seed's own, with a storage account that all seeds share."""
    port = urlsplit(storage.url).port
    with ExitStack() as stack:
        blobs = stack.enter_context(
            BlobServiceClient.from_connection_string(storage.connection_string)
        )
        proxy = stack.enter_context(fault_proxy(int(port or 0)))
        nodes = RunSettings(grace_seconds=0.5)
        emulator = stack.enter_context(Emulator(nodes=nodes, storage=storage))
        yield AzureWorld(here, drawn, emulator, proxy, blobs)
