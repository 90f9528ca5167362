"""A service that answers as it is told, over real HTTP, to the real SDKs."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest

from batchcore_azure.auth import Account
from batchcore_azure.settings import AzureSettings

KEY = base64.b64encode(b"CANARY-account-key").decode()


class Answer(NamedTuple):
    status: int
    body: Any = None
    headers: Mapping[str, str] = {}


class Service(ThreadingHTTPServer):
    """Answers each request with the next of its answers for that path, then with the last one."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.asked: list[tuple[str, str, Mapping[str, str]]] = []
        self.answers: dict[str, list[Answer]] = {}
        self.date = ""

    def answer(self, path: str, *answers: tuple[int, Any, Mapping[str, str]]) -> None:
        self.answers[path] = [Answer(*answer) for answer in answers]

    def next_for(self, path: str) -> Answer:
        left = self.answers.get(path) or [Answer(404, {"code": "ResourceNotFound"})]
        return left.pop(0) if len(left) > 1 else left[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _reply(self) -> None:
        path = self.path.partition("?")[0]
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server: Any = self.server
        server.asked.append((self.command, path, dict(self.headers)))
        status, body, headers = server.next_for(path)
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_HEAD = do_PATCH = do_DELETE = _reply  # noqa: N815 - the base class's names

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return the service's own date where a test gives it one."""
        server: Any = self.server
        return server.date or super().date_time_string(timestamp)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """Return a service on loopback."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Service()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def settings(service: Service) -> Callable[..., AzureSettings]:
    """Return a function that makes settings for the service."""

    def make(**given: Any) -> AzureSettings:
        return AzureSettings(
            endpoint=service.url,
            account_name="acct",
            storage_account="store",
            storage_endpoint=f"{service.url}/store",
            **given,
        )

    return make


@pytest.fixture
def environ() -> dict[str, str]:
    """Return the keys as the environment gives them."""
    return {"BATCH_ACCOUNT_KEY": KEY, "STORAGE_ACCOUNT_KEY": KEY}


@pytest.fixture
def account(settings: Callable[..., AzureSettings], environ: dict[str, str]) -> Iterator[Account]:
    """Return an account at the service."""
    made = Account(settings(), environ)
    yield made
    made.close()
