"""How to reach the Docker daemon."""

from __future__ import annotations

import os
import socket
import threading
from typing import Any

from docker import APIClient  # noqa: TID253 - only loaded once the backend is used
from docker.context import ContextAPI  # noqa: TID253 - only loaded once the backend is used
from docker.utils import kwargs_from_env  # noqa: TID253 - only loaded once the backend is used

from batchcore.errors import EnvironmentNotReady
from batchcore_localdocker.errors import FOREIGN, explanation

CALL_SECONDS = 60
_SPARE_CONNECTIONS = 16
_CANNOT_CONNECT: tuple[type[Exception], ...] = (*FOREIGN, OSError, ValueError)


class Connection:
    """A client of the daemon, made on first use and shared by all threads."""

    def __init__(self, slots: int | None) -> None:
        """Keep how many threads may call at once; nothing is connected."""
        self.slots = slots or os.cpu_count() or 1
        self._lock = threading.Lock()
        self._client: APIClient | None = None

    @property
    def client(self) -> APIClient:
        """The client; raises `EnvironmentNotReady` while no daemon answers."""
        with self._lock:
            if self._client is None:
                self._client = connect(self.slots + _SPARE_CONNECTIONS)
            return self._client

    def close(self) -> None:
        """Let go of the connections; the next use makes new ones."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None


def connect(connections: int) -> APIClient:
    """Return a client that keeps up to so many connections open.

    The daemon is that of ``DOCKER_HOST``, else of ``DOCKER_CONTEXT``, else of the current Docker
    context (Docker documentation, "Docker contexts"). The newest API that both sides know is
    used and every call has a time limit. Raises `EnvironmentNotReady` where no daemon answers.
    """
    host = "the address that is configured"
    try:
        where = daemon_address()
        host = str(where["base_url"])
        _try_socket(host)
        return APIClient(**where, version="auto", timeout=CALL_SECONDS, max_pool_size=connections)
    except _CANNOT_CONNECT as exc:
        raise EnvironmentNotReady(
            f"no Docker daemon answers at {host}: {explanation(exc)}", hint=_hint(exc)
        ) from exc


def daemon_address() -> dict[str, Any]:
    """Return where the daemon is, as arguments of the SDK's client."""
    found: dict[str, Any] = {**kwargs_from_env()}
    if "base_url" in found:
        return found
    name = os.environ.get("DOCKER_CONTEXT") or None
    context = ContextAPI.get_context(name)
    if context is None:
        raise EnvironmentNotReady(
            f"there is no Docker context {name!r}"
            if name
            else "the Docker context that ~/.docker/config.json names does not exist",
            hint="type `docker context ls`, then `docker context use NAME`",
        )
    return {"base_url": context.Host, "tls": context.TLSConfig}


def _try_socket(host: str) -> None:
    """Raise `OSError` where nobody listens on a local socket.

    The SDK would say it less plainly, and leave its socket open (docker 7.2, unixconn.py).
    """
    scheme, _, path = host.partition("://")
    if scheme in {"unix", "http+unix"}:
        with socket.socket(socket.AF_UNIX) as trial:
            trial.settimeout(CALL_SECONDS)
            trial.connect("/" + path.lstrip("/"))


def _hint(exc: BaseException) -> str:
    """Tell a daemon that refuses this user from one that is not there."""
    if isinstance(exc, PermissionError):
        return "type `sudo usermod -aG docker $USER` and log in again"
    return (
        "start it (Linux: `sudo systemctl start docker`; else Docker Desktop), "
        "or set DOCKER_HOST; --backend local-process needs none"
    )
