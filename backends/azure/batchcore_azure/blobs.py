"""Blobs as a file system: adlfs, held to one account, one credential, and verified content."""

from __future__ import annotations

import asyncio
import errno
import io
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Self

from adlfs import AzureBlobFileSystem  # type: ignore[import-untyped] # noqa: TID253 - as below
from azure.core.credentials import (  # noqa: TID253 - only loaded once the backend is used
    AccessToken,
    AzureNamedKeyCredential,
    TokenCredential,
)
from azure.core.exceptions import (  # noqa: TID253 - as above
    HttpResponseError,
    ResourceNotFoundError,
)
from azure.core.pipeline import PipelineRequest, PipelineResponse  # noqa: TID253 - as above
from azure.storage.blob import BlobProperties  # noqa: TID253 - as above
from azure.storage.blob.aio import (  # noqa: TID253 - as above
    BlobClient,
    BlobServiceClient,
    ExponentialRetry,
)
from fsspec.asyn import sync, sync_wrapper

from batchcore.errors import TransferError
from batchcore.transfer import stores
from batchcore_azure.auth import CONNECT_TIMEOUT, LONGEST_WAIT, READ_TIMEOUT, Account
from batchcore_azure.blocks import Block, Blocks, Changed
from batchcore_azure.errors import azure_errors, code

_TRIES = 4
_TOO_MANY = 429


class Patient(ExponentialRetry):
    """Repeats what the service was too busy for, and waits as long as it asks for.

    azure-storage-blob 12.31 repeats 5xx after waits of its own, and 429 never. A wait above 10
    seconds is left to the driver.
    """

    def __init__(self) -> None:
        """Take the limits that every client here has."""
        super().__init__(
            initial_backoff=1, increment_base=2, retry_total=_TRIES, random_jitter_range=1
        )

    async def send(  # type: ignore[override] # as the SDK's own class does, without types
        self, request: PipelineRequest[Any]
    ) -> PipelineResponse[Any, Any]:
        """Send a request, and again after a 429."""
        again = super().send
        for tried in range(_TRIES):
            response: PipelineResponse[Any, Any] = await again(request)  # type: ignore[no-untyped-call] # as above
            wait = _asked(response.http_response) or 2.0**tried
            if response.http_response.status_code != _TOO_MANY or wait > LONGEST_WAIT:
                break
            await asyncio.sleep(wait)
        else:
            response = await again(request)  # type: ignore[no-untyped-call] # as above
        return response

    def get_backoff_time(self, settings: dict[str, Any]) -> float:
        """Return the wait before the next try: the service's own wish where it has one."""
        last = settings["history"][-1].http_response if settings["history"] else None
        return min(_asked(last) or super().get_backoff_time(settings), LONGEST_WAIT)


class BlobFileSystem(AzureBlobFileSystem):  # type: ignore[misc] # adlfs has no types
    """The blobs of one account; a path is ``container/name``, taken as it is.

    Nothing is read from the environment and no listing is cached. What is sent and fetched is
    compared with an MD5, block by block. Errors are this project's, or `FileNotFoundError`.
    """

    protocol = ("az",)
    cachable = False
    verifies = True

    def __init__(self, account: Account) -> None:
        """Connect with the account's credential; nothing is sent yet."""
        self._account = account
        self._blocks = Blocks(account, connections=2 * stores.AT_ONCE)
        # adlfs reads variables for what it is not given, and asks them for a credential unless it
        # has one; what it makes of them is used nowhere, see `do_connect`.
        super().__init__(
            account_name=account.storage_account,
            credential=_Unused(),
            anon=False,
            use_listings_cache=False,
        )
        self.account_key = self.connection_string = self.sas_token = self.client_secret = None

    def do_connect(self) -> None:
        """Make the client, from the account alone."""
        key = self._account.storage_key
        self.service_client = BlobServiceClient(
            self._account.storage_endpoint,
            AzureNamedKeyCredential(self._account.storage_account, key.reveal())
            if key
            else _InThread(self._account.credential),
            retry_policy=Patient(),
            connection_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._blocks.close()
        sync(self.loop, self.service_client.close)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Do nothing: blobs have no directories, and containers are made by `Storage`."""

    async def _info(self, path: str, **_: object) -> dict[str, Any]:
        with azure_errors(f"looking at {path}"):
            try:
                found = await self._blob(path).get_blob_properties()
            except ResourceNotFoundError as exc:
                if code(exc) == "BlobNotFound":
                    raise _absent(path) from None
                raise  # no container: that is more than an output which was not written
        return _entry(path, found)

    async def _find(
        self, path: str, *, detail: bool = False, **_: object
    ) -> dict[str, dict[str, Any]] | list[str]:
        container, _slash, prefix = path.strip("/").partition("/")
        client = self.service_client.get_container_client(container)
        start = f"{prefix}/" if prefix else ""
        found = {}
        with azure_errors(f"listing {path}"):
            async for blob in client.list_blobs(name_starts_with=start, include=["metadata"]):
                if not _is_directory(blob):
                    name = f"{container}/{blob.name}"
                    found[name] = _entry(name, blob)
        return found if detail else sorted(found)

    def get_file(self, rpath: str, lpath: str, **_: object) -> None:
        """Fetch a blob, once more where it is replaced meanwhile or arrives altered."""
        container, _slash, name = rpath.partition("/")
        with azure_errors(f"fetching {rpath}"), Path(lpath).open("wb") as target:
            try:
                with suppress(Changed):
                    self._fetch(container, name, target)
                    return
                target.truncate(target.seek(0))
                self._fetch(container, name, target)
            except Changed as exc:
                raise _not_as_sent(rpath, exc) from exc
            except HttpResponseError as exc:
                if code(exc) == "BlobNotFound":
                    raise _absent(rpath) from None
                raise

    def _fetch(self, container: str, name: str, target: BinaryIO) -> None:
        first = self._blocks.first(container, name)
        target.write(first.data)
        if first.size > len(first.data):
            self._fetch_rest(container, name, first, target)
        if target.tell() != first.size:
            msg = f"{name} arrived with {target.tell()} of {first.size} bytes"
            raise Changed(msg)

    def _fetch_rest(self, container: str, name: str, first: Block, target: BinaryIO) -> None:
        self._blocks.rest(container, name, first, target)

    def put_file(self, lpath: str, rpath: str, **_: object) -> None:
        """Send a file: in one request, or in blocks where it is larger than one."""
        container, _slash, name = rpath.partition("/")
        with azure_errors(f"sending {rpath}"), Path(lpath).open("rb") as source:
            self._blocks.send(container, name, source)

    def pipe_file(self, path: str, value: bytes, **_: object) -> None:
        """Send what is in memory."""
        container, _slash, name = path.partition("/")
        with azure_errors(f"sending {path}"):
            self._blocks.send(container, name, io.BytesIO(value))

    find = sync_wrapper(_find)
    info = sync_wrapper(_info)

    def _blob(self, path: str) -> BlobClient:
        container, _, name = path.partition("/")
        client: BlobClient = self.service_client.get_blob_client(container, name)
        return client


class _Unused:
    """Stands where adlfs wants a credential, so that it looks for none."""


class _InThread:
    """A credential for clients that wait otherwise than its own."""

    def __init__(self, credential: TokenCredential) -> None:
        self._credential = credential

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return await asyncio.to_thread(self._credential.get_token, *scopes, **options)

    async def close(self) -> None:
        """Leave it open: the account closes its own."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave it open, as above."""


def _entry(name: str, found: BlobProperties) -> dict[str, Any]:
    md5 = found.content_settings.content_md5
    return {
        "name": name,
        "size": found.size,
        "type": "file",
        "etag": found.etag,
        "content_md5": bytes(md5) if md5 else None,
    }


def _is_directory(blob: BlobProperties) -> bool:
    """Return whether this is no blob but a directory of an account with a hierarchy of them."""
    return (blob.metadata or {}).get("hdi_isfolder", "").lower() == "true"


def _not_as_sent(path: str, exc: Changed) -> TransferError:
    return TransferError(
        str(exc), hint="run the same command again; nothing is lost", where=path, transient=True
    )


def _absent(path: str) -> FileNotFoundError:
    """Return what fsspec raises for a file that is not there."""
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _asked(response: Any) -> float:
    """Return the seconds that an answer asks to wait, 0 where it does not."""
    try:
        return max(0.0, float(response.headers.get("Retry-After")))
    except (AttributeError, TypeError, ValueError):
        return 0.0
