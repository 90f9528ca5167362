"""Signed URLs: each gives its holder one thing to do, for as long as a task needs it.

A resource may be read and nothing else; into the container for outputs may be written, and what
is there be neither read, listed nor deleted.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from azure.storage.blob import (  # noqa: TID253 - only loaded once the backend is used
    BlobSasPermissions,
    ContainerSasPermissions,
    UserDelegationKey,
    generate_blob_sas,
    generate_container_sas,
)

from batchcore_azure.environment import Secret
from batchcore_azure.lifetimes import Lifetime

READ = BlobSasPermissions(read=True)
WRITE = ContainerSasPermissions(create=True, write=True)

Delegate = Callable[[datetime, datetime], UserDelegationKey]


class Signer:
    """Signs URLs of a storage account: with its key, else with a user delegation key of Entra ID.

    `delegate` asks for such a key, for a time from a start to an end; one is kept for as long as
    it covers what is to be signed. `endpoint` is the URL of the account's blobs; URLs are valid
    over https only, unless it is plain http.
    """

    def __init__(self, account: str, endpoint: str, key: Secret | None, delegate: Delegate) -> None:
        """Keep what signs; nothing is asked for yet."""
        self._account = account
        self._endpoint = endpoint
        self._key = key
        self._delegate = delegate
        self._delegated: tuple[Lifetime, UserDelegationKey] | None = None
        self._protocol = "https" if urlsplit(endpoint).scheme == "https" else "https,http"

    def blob(self, container: str, name: str, life: Lifetime) -> str:
        """Return the URL of a blob with which it can be read."""
        token = generate_blob_sas(
            self._account,
            container,
            name,
            account_key=self._revealed,
            user_delegation_key=self._delegation(life),
            permission=READ,
            start=_moment(life.start),
            expiry=_moment(life.expiry),
            protocol=self._protocol,
        )
        return f"{self.unsigned(container, name)}?{token}"

    def container(self, container: str, life: Lifetime) -> str:
        """Return the URL of a container with which blobs can be made and replaced in it."""
        token = generate_container_sas(
            self._account,
            container,
            account_key=self._revealed,
            user_delegation_key=self._delegation(life),
            permission=WRITE,
            start=_moment(life.start),
            expiry=_moment(life.expiry),
            protocol=self._protocol,
        )
        return f"{self.unsigned(container)}?{token}"

    def unsigned(self, container: str, name: str = "") -> str:
        """Return the URL of a container or a blob, without a signature."""
        return "/".join(part for part in (self._endpoint, container, quote(name)) if part)

    @property
    def _revealed(self) -> str | None:
        return self._key.reveal() if self._key else None

    def _delegation(self, life: Lifetime) -> UserDelegationKey | None:
        if self._key is not None:
            return None
        if self._delegated is None or not _covers(self._delegated[0], life):
            self._delegated = (life, self._delegate(_moment(life.start), _moment(life.expiry)))
        return self._delegated[1]


def _covers(have: Lifetime, wanted: Lifetime) -> bool:
    return have.start <= wanted.start and wanted.expiry <= have.expiry


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
