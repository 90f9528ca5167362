"""Requests for which the SDK's own method leaves a thread behind, or takes too long."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any

import msgspec
from azure.batch import BatchClient  # noqa: TID253 - only loaded once the backend is used
from azure.core.exceptions import HttpResponseError  # noqa: TID253 - as above
from azure.core.rest import HttpRequest, HttpResponse  # noqa: TID253 - as above

from batchcore_azure.errors import code

_API_VERSION = "2025-06-01"  # that of azure-batch 15.1


def send(
    client: BatchClient, method: str, path: str, body: Mapping[str, Any] | None = None
) -> HttpResponse:
    """Send a request and return the answer, which is a success; raises as the SDK does."""
    headers = {"content-type": "application/json; odata=minimalmetadata"} if body else {}
    params = {"api-version": _API_VERSION}
    content = msgspec.json.encode(body) if body else None
    request = HttpRequest(method, path, params=params, headers=headers, content=content)
    return client.send_request(request)


def unless(done: Container[str | None], call: Callable[[], object]) -> bool:
    """Call, and return whether it was done; false where the service says one of these codes."""
    try:
        call()
    except HttpResponseError as exc:
        if code(exc) not in done:
            raise
        return False
    return True
