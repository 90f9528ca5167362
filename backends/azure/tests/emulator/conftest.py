"""A served account without nodes, the real SDK on it, and requests written by hand.

Where the SDK only offers `begin_…`, the tests call the `_…_internal` method that sends the request:
a poller of the SDK is a thread that cannot be stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import requests
from azure.batch import BatchClient
from azure.core.credentials import AzureNamedKeyCredential

from batchcore_azure.emulator.service import Service
from batchcore_azure.emulator.settings import EmulatorSettings
from batchcore_azure.emulator.signature import sign, to_sign

MACHINE = {
    "imageReference": {
        "publisher": "microsoft-dsvm",
        "offer": "ubuntu-hpc",
        "sku": "2404",
        "version": "latest",
    },
    "nodeAgentSKUId": "batch.node.ubuntu 24.04",
}


class Clock:
    """The time of the system, which a test can set on and back."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def advance(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def serve(clock: Clock) -> Iterator[Callable[..., Service]]:
    """Serve an account with settings; stopped at the end."""
    started = []

    def start(**settings: Any) -> Service:
        service = Service(EmulatorSettings(**settings), clock=clock)
        started.append(service)
        service.start()
        return service

    yield start
    for service in started:
        service.stop()


@pytest.fixture
def service(serve: Callable[..., Service]) -> Service:
    return serve()


@pytest.fixture
def connect() -> Iterator[Callable[..., BatchClient]]:
    """Connect the SDK, with its retries off, so that each answer is seen; closed at the end."""
    opened = []

    def client(service: Service, key: str | None = None) -> BatchClient:
        credential = AzureNamedKeyCredential(service.settings.account, key or service.settings.key)
        opened.append(BatchClient(service.url, credential, retry_total=0))
        return opened[-1]

    yield client
    for one in opened:
        one.close()


@pytest.fixture
def client(service: Service, connect: Callable[..., BatchClient]) -> BatchClient:
    return connect(service)


@pytest.fixture
def send(service: Service) -> Callable[..., requests.Response]:
    """Send a signed request that is written by hand."""

    def call(method: str, path: str, sent: Any = None, **headers: str) -> requests.Response:
        mark = "&" if "?" in path else "?"
        request = requests.Request(
            method,
            f"{service.url}{path}{mark}api-version=2025-06-01",
            json=sent,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        ).prepare()
        request.headers.setdefault("ocp-date", format_datetime(datetime.now(UTC), usegmt=True))
        request.headers["Authorization"] = authorization(service, request)
        with requests.Session() as session:
            return session.send(request)

    return call


def authorization(service: Service, request: requests.PreparedRequest) -> str:
    path, _, query = request.path_url.partition("?")
    pairs = [tuple(map(requests.utils.unquote, one.split("=", 1))) for one in query.split("&")]
    lower = {name.lower(): value for name, value in request.headers.items()}
    text = to_sign(service.settings.account, request.method, path, pairs, lower)
    return f"SharedKey {service.settings.account}:{sign(service.settings.key, text)}"


@pytest.fixture
def pool(service: Service) -> str:
    """A steady pool without nodes, whose tasks run in no container."""
    made = service.state.create_pool(
        {"id": "pool", "vmSize": "Standard_D4s_v5", "virtualMachineConfiguration": MACHINE}
    )
    service.state.finish_resize(made.id)
    return made.id


@pytest.fixture
def job(service: Service, pool: str) -> str:
    """An active job without tasks."""
    return service.state.create_job({"id": "job", "poolInfo": {"poolId": pool}}).id


@pytest.fixture
def running(service: Service, pool: str, job: str) -> tuple[str, str]:
    """The ids of a node, and of the task that runs on it."""
    node = service.state.add_node(pool, state="idle")
    service.state.add_task(job, {"id": "task", "commandLine": "true"})
    service.state.start_task(job, "task", pool, node.id)
    return node.id, "task"
