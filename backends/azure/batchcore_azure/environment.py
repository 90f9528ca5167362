"""Credentials, which come from the environment alone, in a form that shows itself to nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from msgspec import Struct

from batchcore.credentials import MASK
from batchcore.errors import SettingsError

PREFIX = "BATCHCORE_AZURE_"


class Secret:
    """A credential: `reveal` gives it, and nothing else does."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Keep the value."""
        self._value = value

    def reveal(self) -> str:
        """Return the credential itself."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied into anything that is stored."""
        msg = "a credential is not written anywhere"
        raise TypeError(msg)


class ConnectionString(Struct, frozen=True):
    """What a storage connection string says; `endpoint` is the URL of the blobs."""

    account: str
    key: Secret
    endpoint: str


class Credentials(Struct, frozen=True, kw_only=True):
    """The credentials that the environment gives; None where it gives none."""

    batch_account_key: Secret | None = None
    storage_account_key: Secret | None = None
    storage_account_connection_string: Secret | None = None
    registry_password: Secret | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Credentials:
        """Read ``BATCHCORE_AZURE_BATCH_ACCOUNT_KEY``, else ``BATCH_ACCOUNT_KEY``, and so on.

        Quotes around a value are stripped: they come from files that a shell did not read. An
        empty variable counts as not set.
        """
        found: dict[str, Secret] = {}
        for field in cls.__struct_fields__:
            name = field.upper()
            text = unquoted(environ.get(PREFIX + name, "")) or unquoted(environ.get(name, ""))
            if text:
                found[field] = Secret(text)
        return cls(**found)

    def storage(self) -> ConnectionString | None:
        """Return the connection string taken apart, None where there is none.

        Raises `SettingsError` (permanent) for one without an account and its key.
        """
        secret = self.storage_account_connection_string
        return None if secret is None else _parsed(secret.reveal())


def unquoted(text: str) -> str:
    """Return a value without blanks and one pair of quotes around it."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1].strip()
    return text


def _parsed(text: str) -> ConnectionString:
    pairs = (part.partition("=") for part in text.split(";") if part.strip())
    parts = {name.strip().lower(): value.strip() for name, _, value in pairs}
    account, key = parts.get("accountname"), parts.get("accountkey")
    if not account or not key:
        raise SettingsError(
            "the storage connection string has no AccountName and AccountKey",
            hint="type: az storage account show-connection-string --name ACCOUNT",
            where="environment STORAGE_ACCOUNT_CONNECTION_STRING",
        )
    scheme = parts.get("defaultendpointsprotocol", "https")
    suffix = parts.get("endpointsuffix", "core.windows.net")
    endpoint = parts.get("blobendpoint") or f"{scheme}://{account}.blob.{suffix}"
    return ConnectionString(account, Secret(key), endpoint.rstrip("/"))
