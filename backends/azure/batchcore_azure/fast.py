"""The file system of the extra `fast`: obstore, in Rust, moves what is larger than a block.

Through obstore's store and not its fsspec class, which takes a whole file into memory
(obstore 0.12). It has no MD5 for each block: what it fetches is held to the size, the ETag and
the MD5 of the whole where the blob has one, and else to what TLS promises.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

from obstore import exceptions
from obstore.store import AzureStore

from batchcore.errors import EnvironmentNotReady, TransferError
from batchcore_azure.auth import CONNECT_TIMEOUT, LONGEST_WAIT, READ_TIMEOUT, Account
from batchcore_azure.blobs import BlobFileSystem
from batchcore_azure.blocks import BLOCK, Block, Changed
from batchcore_azure.redaction import redact

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import AzureBearerToken, AzureConfig

CHUNK = 4 << 20
AT_ONCE = 4
_SCOPE = "https://storage.azure.com/.default"
_REFUSED = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)


class FastFileSystem(BlobFileSystem):
    """The blobs of one account; obstore sends and fetches the large ones."""

    def __init__(self, account: Account) -> None:
        """Take the account; nothing is sent yet."""
        super().__init__(account)
        self._store = lru_cache(maxsize=8)(self._new_store)

    def _fetch_rest(self, container: str, name: str, first: Block, target: BinaryIO) -> None:
        """Fetch the other bytes of the same blob; compared with its MD5 where it has one."""
        options: GetOptions = {"range": (len(first.data), first.size), "if_match": first.etag}
        digest = hashlib.md5(first.data, usedforsecurity=False)
        with _errors(f"fetching {container}/{name}"):
            found = self._store(container).get(name, options=options)
            for chunk in found.stream(min_chunk_size=CHUNK):
                target.write(chunk)
                if first.md5:
                    digest.update(chunk)
        if first.md5 and digest.digest() != base64.b64decode(first.md5):
            msg = f"{name} arrived with other bytes than the store has"
            raise Changed(msg)

    def put_file(self, lpath: str, rpath: str, **options: object) -> None:
        """Send a file; obstore sends it where it is larger than a block."""
        if Path(lpath).stat().st_size <= BLOCK:
            super().put_file(lpath, rpath, **options)
            return
        container, _slash, name = rpath.partition("/")
        with _errors(f"sending {rpath}"):
            self._store(container).put(name, Path(lpath), chunk_size=CHUNK, max_concurrency=AT_ONCE)

    def _new_store(self, container: str) -> AzureStore:
        endpoint, key = self._account.storage_endpoint, self._account.storage_key
        signing: AzureConfig = (
            {"account_key": _canonical(key.reveal()), "credential_type": "access_key"}
            if key
            else {}
        )
        # All that a variable could say instead is said here.
        return AzureStore(
            container,
            config={
                "account_name": self._account.storage_account,
                "endpoint": endpoint,
                "use_emulator": False,
                "use_fabric_endpoint": False,
                "skip_signature": False,
                **signing,
            },
            client_options={
                "allow_http": urlsplit(endpoint).scheme == "http",
                "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT),
                "timeout": timedelta(seconds=10 * READ_TIMEOUT),
            },
            retry_config={
                "max_retries": 5,
                "retry_timeout": timedelta(seconds=60),
                "backoff": {
                    "init_backoff": timedelta(seconds=0.5),
                    "max_backoff": timedelta(seconds=LONGEST_WAIT),
                    "base": 2,
                },
            },
            credential_provider=None if key else self._token,
        )

    def _token(self) -> AzureBearerToken:
        token = self._account.credential.get_token(_SCOPE)
        return {
            "token": token.token,
            "expires_at": datetime.fromtimestamp(token.expires_on, UTC),
        }


def _canonical(key: str) -> str:
    """Return the same key in the one spelling that obstore takes: base64 has several."""
    return base64.b64encode(base64.b64decode(key)).decode()


@contextmanager
def _errors(doing: str) -> Iterator[None]:
    """Raise this project's error for one of obstore's; its text without the dump that follows."""
    try:
        yield
    except exceptions.PreconditionError as exc:
        msg = f"the blob was replaced while {doing}"
        raise Changed(msg) from exc
    except _REFUSED as exc:
        raise EnvironmentNotReady(
            f"Azure refused the credential while {doing}: {_first_line(exc)}",
            hint="see which roles you have: `az role assignment list --assignee YOU`",
        ) from None
    except exceptions.BaseError as exc:
        raise TransferError(
            f"Azure failed while {doing}: {_first_line(exc)}",
            hint="run the same command again; nothing is lost",
            transient=not isinstance(exc, FileNotFoundError),
        ) from None


def _first_line(exc: Exception) -> str:
    return redact(str(exc).split("\n", maxsplit=1)[0])
