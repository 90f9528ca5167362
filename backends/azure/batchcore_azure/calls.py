"""Requests for which the SDK's own method would leave a thread behind that polls."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping

from azure.batch import BatchClient  # noqa: TID253 - only loaded once the backend is used
from azure.core.exceptions import HttpResponseError  # noqa: TID253 - as above
from azure.core.rest import HttpRequest  # noqa: TID253 - as above

from batchcore_azure.errors import code

_API_VERSION = "2025-06-01"  # that of azure-batch 15.1


def send(
    client: BatchClient, method: str, path: str, body: Mapping[str, str] | None = None
) -> None:
    """Send a request that the service carries out in its own time; raises as the SDK does."""
    headers = {"content-type": "application/json; odata=minimalmetadata"} if body else {}
    params = {"api-version": _API_VERSION}
    client.send_request(HttpRequest(method, path, params=params, headers=headers, json=body))


def unless(done: Container[str | None], call: Callable[[], object]) -> bool:
    """Call, and return whether it was done; false where the service says one of these codes."""
    try:
        call()
    except HttpResponseError as exc:
        if code(exc) not in done:
            raise
        return False
    return True
