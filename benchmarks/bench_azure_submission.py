"""What it takes to give many tasks to Azure Batch, and to learn that nothing of them changed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count as numbers
from unittest.mock import patch

from azure_loops import POOL, planned, settings_of
from batchcore_azure.backend import AzureBackend  # noqa: TID251 - the backend is what is measured
from batchcore_azure.emulator.service import Service  # noqa: TID251 - as above
from batchcore_azure.emulator.settings import EmulatorSettings  # noqa: TID251 - as above
from frame import HERE, Row, child, interleaved, python

GOAL = 1.2
TICK_GOAL = 1
STORAGE_KEY = "Q0FOQVJZ"
_MACHINE = {
    "imageReference": {"publisher": "microsoft-dsvm", "offer": "ubuntu-hpc", "sku": "2404"},
    "nodeAgentSKUId": "batch.node.ubuntu 24.04",
    "containerConfiguration": {"type": "dockerCompatible"},
}


def rows(*, tiny: bool = False) -> list[Row]:
    """Compare the backend with bare requests of the same bodies, one after another as its are."""
    count = 200 if tiny else 10_000
    with _service() as service:
        median = interleaved(
            {kind: _measure(kind, service, count) for kind in ("ours", "bare")},
            rounds=1 if tiny else 5,
        )
        requests, seconds = _tick(service, count)
    what = f"azure, {count:,} tasks with two resources and one output each"
    tick = f"azure, a poll of {count:,} tasks of which none changed"
    return [
        Row(
            measure=f"{what}, added to an emulated account",
            ours=median["ours"],
            floor=median["bare"],
            floor_name="the same bodies by bare HTTP",
            goal=GOAL,
        ),
        Row(measure=tick, ours=requests, unit="requests", goal=TICK_GOAL),
        Row(measure=f"{tick}, time", ours=seconds),
    ]


@contextmanager
def _service() -> Iterator[Service]:
    """Serve an account with a pool and no machine: what is added stays as it is."""
    service = Service(EmulatorSettings(tokens=True))
    keys = {"BATCH_ACCOUNT_KEY": service.settings.key, "STORAGE_ACCOUNT_KEY": STORAGE_KEY}
    with service, patch.dict(os.environ, {**keys, "NO_PROXY": "127.0.0.1"}):
        service.state.create_pool(
            {"id": POOL, "vmSize": "Standard_D2s_v5", "virtualMachineConfiguration": _MACHINE}
        )
        yield service


def _measure(kind: str, service: Service, count: int) -> Callable[[], float]:
    runs = (f"{kind}-{number}" for number in numbers())

    def measure() -> float:
        run, account = next(runs), service.settings.account
        words = python(HERE / "azure_loops.py", kind, service.url, account, run, str(count))
        seconds = float(child(words).output)
        if len(service.state.tasks_of(run)) != count:
            raise SystemExit(f"{kind}: not all of the tasks were added")
        service.state.delete_job(run)
        service.requests.clear()
        return seconds

    return measure


def _tick(service: Service, count: int) -> tuple[int, float]:
    """Return the requests and the seconds of one poll, while every task waits for a machine."""
    run, tasks = planned("tick", count)
    with closing(AzureBackend(settings_of(service.url, service.settings.account))) as backend:
        backend.submit(run, tasks)
        known = backend.poll(run, "", 0)
        service.requests.clear()
        began = time.perf_counter()
        told = {update.task_id for update in known.updates}
        if len(told) != count or backend.poll(run, known.cursor, 0).updates:
            raise SystemExit("the poll is not one in which nothing changed")
        seconds = time.perf_counter() - began
    return service.requests.count("GET"), seconds
