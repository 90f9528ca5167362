"""Whether the storage account can be written: one blob is written, read and deleted again."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

from azure.core.exceptions import (  # noqa: TID253 - only loaded once the backend is used
    ResourceNotFoundError,
)
from azure.storage.blob import ContainerClient  # noqa: TID253 - as above

from batchcore.clock import Clock
from batchcore.errors import BackendError, BatchcoreError
from batchcore_azure.auth import Account
from batchcore_azure.errors import azure_errors

_CONTENT = b"written by batchcore doctor, and deleted by it"


def write_and_delete(account: Account, container: str | None, clock: Clock) -> float:
    """Write a blob and delete it; return by how many seconds the service's clock is ahead.

    In an existing container, or with None in one that is made for it and deleted too. Raises
    `EnvironmentNotReady` where the caller may not, `BackendError` where the answer is not what
    was written, or (transient) the service does not answer.
    """
    if container is None:
        with _own_container(account) as client:
            return _tried(client, clock)
    return _tried(account.blobs.get_container_client(container), clock)


def exists(account: Account, container: str) -> bool:
    """Return whether there is such a container."""
    with azure_errors(f"looking for the container {container!r}"):
        return bool(account.blobs.get_container_client(container).exists())


@contextmanager
def _own_container(account: Account) -> Iterator[ContainerClient]:
    client = account.blobs.get_container_client(f"batchcore-doctor-{secrets.token_hex(6)}")
    with _removing(client.delete_container, f"the container {client.container_name!r}"):
        with azure_errors(f"making the container {client.container_name!r}"):
            client.create_container()
        yield client


def _tried(client: ContainerClient, clock: Clock) -> float:
    blob = client.get_blob_client(f"batchcore-doctor-{secrets.token_hex(6)}")
    name = f"{client.container_name}/{blob.blob_name}"
    with _removing(blob.delete_blob, f"the blob {name}"):
        with azure_errors(f"writing the blob {name}"):
            answer: dict[str, Any] = blob.upload_blob(_CONTENT)
            there, here = answer.get("date"), clock.now()
        with azure_errors(f"reading the blob {name}"):
            read = blob.download_blob().readall()
    if read != _CONTENT:
        raise BackendError(
            f"the blob {name} is not what was written",
            hint="see what answers at the storage endpoint",
        )
    return there.timestamp() - here if isinstance(there, datetime) else 0.0


@contextmanager
def _removing(remove: Callable[[], None], what: str) -> Iterator[None]:
    """Remove at the end what was made here; where something failed before, that is told."""
    try:
        yield
    except BaseException:
        with suppress(BatchcoreError):
            _remove(remove, what)
        raise
    _remove(remove, what)


def _remove(remove: Callable[[], None], what: str) -> None:
    with azure_errors(f"deleting {what}"), suppress(ResourceNotFoundError):
        remove()
