"""The account: who calls Azure, and the clients that call Batch and the blobs for it."""

from __future__ import annotations

import base64
import binascii
import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from azure.batch import BatchClient  # noqa: TID253 - only loaded once the backend is used
from azure.core.credentials import (  # noqa: TID253 - as above
    AzureNamedKeyCredential,
    TokenCredential,
)
from azure.core.pipeline.policies import RetryPolicy  # noqa: TID253 - as above
from azure.storage.blob import BlobServiceClient, ExponentialRetry  # noqa: TID253 - as above

from batchcore import __version__
from batchcore.errors import SettingsError
from batchcore_azure.environment import Credentials, Secret
from batchcore_azure.settings import AzureSettings

if TYPE_CHECKING:
    from azure.core.pipeline import PipelineResponse

USER_AGENT = f"batchcore/{__version__}"
CONNECT_TIMEOUT = 10
READ_TIMEOUT = 60
LONGEST_WAIT = 10.0
_METHODS = frozenset({"HEAD", "GET", "PUT", "DELETE", "OPTIONS", "TRACE", "POST", "PATCH"})

_FIND_ENDPOINT = (
    "az batch account show --name ACCOUNT --resource-group GROUP --query accountEndpoint"
)
_FIND_BATCH_KEY = "az batch account keys list --name ACCOUNT --resource-group GROUP"
_FIND_STORAGE_KEY = "az storage account keys list --account-name ACCOUNT"


class PostRetry(RetryPolicy[Any, Any]):
    """Repeats every method, POST and PATCH too, because each id is chosen by the caller.

    azure-core 1.41 repeats those only after some statuses, and waits as long as a ``Retry-After``
    says, even of a 403. Here the status decides. All tries together stay below a minute; a longer
    wait, such as an answer's own wish above 10 seconds, is left to the driver.
    """

    def __init__(self) -> None:
        """Take the limits that every client here has."""
        super().__init__(
            retry_total=5,
            retry_status=5,
            retry_connect=3,
            retry_read=3,
            retry_backoff_factor=0.5,
            retry_backoff_max=LONGEST_WAIT,
            timeout=60,
        )
        self._method_whitelist = _METHODS

    def is_retry(self, settings: dict[str, Any], response: PipelineResponse[Any, Any]) -> bool:
        """Say whether an answer means that the same request may succeed soon."""
        busy = response.http_response.status_code in self._retry_on_status_codes
        return (
            busy
            and (self.get_retry_after(response) or 0) <= LONGEST_WAIT
            and bool(super().is_retry(settings, response))
        )

    def get_retry_after(self, response: PipelineResponse[Any, Any]) -> float | None:
        """Take a header that is neither a number nor a date for none."""
        try:
            return super().get_retry_after(response)
        except (TypeError, ValueError):
            return None


class Account:
    """A Batch account and a storage account, as one caller with one credential.

    Keys are used where the environment gives them, otherwise Entra ID through
    `DefaultAzureCredential`. Nothing is sent by the constructor. It raises `SettingsError`
    (permanent) for what is missing, contradicts itself or is no key.
    """

    def __init__(self, settings: AzureSettings, environ: Mapping[str, str] | None = None) -> None:
        """Read the credentials of `environ`, default this process's."""
        self._environ = os.environ if environ is None else environ
        credentials = self.credentials
        self.endpoint = _endpoint(settings)
        self.account_name = settings.account_name or _first_label(self.endpoint)
        _check_key(credentials.batch_account_key, "BATCH_ACCOUNT_KEY", _FIND_BATCH_KEY)
        _refuse_plain_http(self.endpoint, credentials.batch_account_key, "BATCH_ACCOUNT_KEY")
        self.storage_account, self.storage_endpoint = _storage(settings, credentials)
        _check_key(self.storage_key, "STORAGE_ACCOUNT_KEY", _FIND_STORAGE_KEY)
        _refuse_plain_http(self.storage_endpoint, self.storage_key, "STORAGE_ACCOUNT_KEY")
        self._lock = threading.RLock()
        self._batch: tuple[Secret | None, BatchClient] | None = None
        self._blobs: tuple[Secret | None, BlobServiceClient] | None = None
        self._token: Any = None

    @property
    def credentials(self) -> Credentials:
        """What the environment gives now: a key that was exchanged is seen here."""
        return Credentials.of(self._environ)

    @property
    def storage_key(self) -> Secret | None:
        """The key of the storage account, None with Entra ID."""
        credentials = self.credentials
        parsed = credentials.storage()
        return parsed.key if parsed else credentials.storage_account_key

    @property
    def can_sign(self) -> bool:
        """Whether a SAS can be signed here; otherwise it needs a user delegation key."""
        return self.storage_key is not None

    @property
    def credential(self) -> TokenCredential:
        """The Entra ID credential that both services share, made when it is first asked for."""
        with self._lock:
            if self._token is None:
                from azure.identity import DefaultAzureCredential

                self._token = DefaultAzureCredential(process_timeout=10)
            token: TokenCredential = self._token
            return token

    @property
    def batch(self) -> BatchClient:
        """The client for Batch; a new one after the key was exchanged, because it keeps a copy."""
        key = self.credentials.batch_account_key
        with self._lock:
            if self._batch is None or self._batch[0] != key:
                self._batch = (key, self._batch_client(key))
            return self._batch[1]

    @property
    def blobs(self) -> BlobServiceClient:
        """The client for the blobs."""
        key = self.storage_key
        with self._lock:
            if self._blobs is None or self._blobs[0] != key:
                self._blobs = (key, self._blob_client(key))
            return self._blobs[1]

    def known_secrets(self) -> list[str]:
        """Return the credentials themselves, for redaction and nothing else."""
        credentials = self.credentials
        secrets = [getattr(credentials, name) for name in credentials.__struct_fields__]
        return [secret.reveal() for secret in (*secrets, self.storage_key) if secret]

    def close(self) -> None:
        """Let go of the connections. Idempotent; a later use opens them again."""
        with self._lock:
            for held in (self._batch, self._blobs):
                if held is not None:
                    held[1].close()
            if self._token is not None:
                self._token.close()
            self._batch = self._blobs = self._token = None

    def _batch_client(self, key: Secret | None) -> BatchClient:
        named = AzureNamedKeyCredential(self.account_name, key.reveal()) if key else None
        return BatchClient(
            self.endpoint,
            named or self.credential,
            retry_policy=PostRetry(),
            user_agent=USER_AGENT,
            connection_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
        )

    def _blob_client(self, key: Secret | None) -> BlobServiceClient:
        named = AzureNamedKeyCredential(self.storage_account, key.reveal()) if key else None
        # The SDK's own waits start at 15 seconds (azure-storage-blob 12.31).
        patience = ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=4)
        return BlobServiceClient(
            self.storage_endpoint,
            named or self.credential,
            retry_policy=patience,
            user_agent=USER_AGENT,
            connection_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
        )


def _endpoint(settings: AzureSettings) -> str:
    if not settings.endpoint:
        raise SettingsError(
            "azure needs the endpoint of a Batch account",
            hint="export BATCH_ACCOUNT_ENDPOINT=https://ACCOUNT.REGION.batch.azure.com, "
            f"as `{_FIND_ENDPOINT}` shows it",
            where="backend.azure.endpoint",
        )
    return settings.endpoint.rstrip("/")


def _storage(settings: AzureSettings, credentials: Credentials) -> tuple[str, str]:
    """Return the name of the storage account and the URL of its blobs."""
    given = credentials.storage()
    name = settings.storage_account or (given.account if given else None)
    if name is None and settings.storage_endpoint:
        name = _first_label(settings.storage_endpoint)
    if not name:
        raise SettingsError(
            "azure needs a storage account for resources and outputs",
            hint="export STORAGE_ACCOUNT_NAME=ACCOUNT; `az storage account list` shows yours",
            where="backend.azure.storage_account",
        )
    if given and given.account != name:
        raise SettingsError(
            f"storage_account is {name}, and the connection string belongs to {given.account}",
            hint="unset STORAGE_ACCOUNT_CONNECTION_STRING, or leave storage_account out",
            where="backend.azure.storage_account",
        )
    endpoint = settings.storage_endpoint or (given.endpoint if given else None)
    return name, (endpoint or f"https://{name}.blob.core.windows.net").rstrip("/")


def _check_key(key: Secret | None, variable: str, command: str) -> None:
    """Refuse a key that is not base64: the SDKs find that out at the first call, and say little."""
    if key is None:
        return
    try:
        base64.b64decode(key.reveal(), validate=True)
    except (binascii.Error, ValueError):
        raise SettingsError(
            f"{variable} is not a key: a key is text in base64",
            hint=f"copy it whole from `{command}`",
            where=f"environment {variable}",
        ) from None


def _refuse_plain_http(url: str, key: Secret | None, variable: str) -> None:
    if key is None and urlsplit(url).scheme == "http":
        raise SettingsError(
            f"{url} is not encrypted, and Entra ID gives no token for it",
            hint=f"write https://, or export {variable} where an emulator answers there",
            where=url,
        )


def _first_label(url: str) -> str:
    return (urlsplit(url).hostname or "").split(".")[0]
