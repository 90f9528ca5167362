"""Docker's exceptions as this project's: one table, applied by a context manager."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import docker.errors as sdk  # noqa: TID253 - only loaded once the backend is used
import requests
import urllib3
from docker.credentials.errors import (  # noqa: TID253 - only loaded once the backend is used
    StoreError,
)

from batchcore.errors import BackendError

_SERVER_ERROR = 500
_BUSY = frozenset({408, 425, 429})

_DAEMON = "see whether `docker version` answers; the same command goes on where this one stopped"
_LOGIN = "type `docker login`, or mend credHelpers and credsStore in ~/.docker/config.json"

# The first row that fits wins. The SDK lets requests' and urllib3's exceptions through
# (docker 7.2: api/client.py raises its own only for answers with an error status).
_TABLE: tuple[tuple[type[Exception], bool, str], ...] = (
    (sdk.APIError, False, ""),
    (StoreError, False, _LOGIN),
    (sdk.TLSParameterError, False, "check DOCKER_TLS_VERIFY and DOCKER_CERT_PATH"),
    (sdk.DockerException, False, ""),
    (requests.RequestException, True, _DAEMON),
    (urllib3.exceptions.HTTPError, True, _DAEMON),
)
FOREIGN = tuple(kind for kind, _transient, _hint in _TABLE)


@contextmanager
def docker_errors(doing: str) -> Iterator[None]:
    """Raise `BackendError` for whatever Docker's SDK raises inside; `doing` says at what.

    Transient: the daemon did not answer, broke off, or answered with a server error.
    """
    try:
        yield
    except FOREIGN as exc:
        raise backend_error(exc, doing) from exc


def backend_error(exc: Exception, doing: str) -> BackendError:
    """Return what an exception of Docker's SDK means here."""
    transient, hint = next((t, h) for kind, t, h in _TABLE if isinstance(exc, kind))
    status = status_of(exc)
    if status is not None:
        transient = status >= _SERVER_ERROR or status in _BUSY
    return BackendError(
        f"Docker failed while {doing}: {explanation(exc)}", hint=hint, transient=transient
    )


def status_of(exc: Exception) -> int | None:
    """Return the HTTP status of the daemon's answer, None where it gave none."""
    return exc.status_code if isinstance(exc, sdk.APIError) else None


def explanation(exc: Exception) -> str:
    """Return the daemon's own words on one line."""
    text: Any = exc.explanation if isinstance(exc, sdk.APIError) else None
    if isinstance(text, bytes):  # where the answer was not JSON
        text = text.decode(errors="replace")
    return " ".join(str(text or exc).split()) or type(exc).__name__


def timed_out(exc: requests.RequestException) -> bool:
    """Return whether an exception only says that no answer came in the time given."""
    causes = (exc, *exc.args)
    return any(isinstance(c, requests.Timeout | urllib3.exceptions.TimeoutError) for c in causes)
