"""What a node does with blobs: list, read and write them over plain HTTP, by the URL it was given.

No storage SDK: a node has nothing but URLs, most with a SAS, and a test shall see what these
URLs alone allow. Where a file names an identity in place of a SAS, the `Identities` that the
emulator was started with sign for it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode, urlsplit, urlunsplit
from xml.etree import ElementTree as ET

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

_VERSION = {"x-ms-version": "2021-12-02"}
_TIMEOUTS = (5, 60)
_CHUNK = 1 << 20
_CONNECTIONS = 64
_PASSING = (429, 500, 502, 503, 504)


class BlobError(Exception):
    """The storage did not do it: its HTTP status (none: no answer), and whether time ran out."""

    def __init__(self, status: int | None, text: str, *, timed_out: bool = False) -> None:
        super().__init__(text)
        self.status = status
        self.timed_out = timed_out


class Identities:
    """The managed identities that nodes have, all with the rights of one storage account's key."""

    def __init__(self, account: str, key: str, names: frozenset[str]) -> None:
        """Keep the account, and the resource ids of the identities."""
        self._account, self._key, self._names = account, key, names

    def sign(self, url: str, reference: Mapping[str, Any] | None) -> str:
        """Return a URL that can be used: with a SAS, if `reference` names one of the identities."""
        if not reference or reference.get("resourceId") not in self._names:
            return url
        from azure.storage.blob import (
            AccountSasPermissions,
            ResourceTypes,
            generate_account_sas,
        )

        token = generate_account_sas(
            self._account,
            self._key,
            ResourceTypes(container=True, object=True),
            AccountSasPermissions(read=True, list=True, write=True, create=True),
            datetime.now(UTC) + timedelta(hours=1),
        )
        return f"{url}?{token}"


class Blobs:
    """Connections to whatever storage the URLs name; several threads may share them."""

    def __init__(self, block: int = 256 << 20) -> None:
        """Keep the size above which a blob is written in blocks."""
        self._block = block
        self._session = requests.Session()
        # The storage stands on loopback: a proxy of the environment must not be asked for it.
        self._session.trust_env = False
        retry = Retry(
            3,
            backoff_factor=0.2,
            status_forcelist=_PASSING,
            allowed_methods=("GET", "PUT"),
            respect_retry_after_header=False,
            raise_on_status=False,
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS, max_retries=retry))

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def download(self, url: str, target: BinaryIO) -> None:
        """Write the blob's bytes; raises `BlobError`, also for an answer that was cut short."""
        answer = self._request("GET", url, stream=True)
        try:
            target.writelines(answer.iter_content(_CHUNK))
        except requests.RequestException as error:
            raise _no_answer(error) from error
        finally:
            answer.close()

    def names(self, container: str, prefix: str) -> Iterator[str]:
        """Yield the names of a container's blobs; raises `BlobError`."""
        marker = ""
        while True:
            query = {"restype": "container", "comp": "list", "prefix": prefix, "marker": marker}
            answer = self._request("GET", with_query(container, query))
            page = ET.fromstring(answer.content)  # noqa: S314 - the user's own storage
            yield from (str(name.text) for name in page.iterfind("./Blobs/Blob/Name"))
            marker = page.findtext("NextMarker") or ""
            if not marker:
                return

    def upload(self, url: str, source: BinaryIO, size: int, headers: Mapping[str, str]) -> None:
        """Write a block blob, replacing an older one; raises `BlobError`."""
        if size <= self._block:
            body = source if size else b""
            self._request("PUT", url, data=body, headers={"x-ms-blob-type": "BlockBlob", **headers})
            return
        blocks: list[str] = []
        while data := source.read(self._block):
            blocks.append(base64.b64encode(b"%08d" % len(blocks)).decode())
            self._request(
                "PUT", with_query(url, {"comp": "block", "blockid": blocks[-1]}), data=data
            )
        entries = "".join(f"<Latest>{block}</Latest>" for block in blocks)
        self._request(
            "PUT",
            with_query(url, {"comp": "blocklist"}),
            data=f"<BlockList>{entries}</BlockList>".encode(),
            headers=headers,
        )

    def _request(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> requests.Response:
        try:
            answer = self._session.request(
                method, url, headers={**_VERSION, **(headers or {})}, timeout=_TIMEOUTS, **options
            )
        except requests.RequestException as error:
            raise _no_answer(error) from error
        if not answer.ok:
            code = answer.headers.get("x-ms-error-code", "")
            answer.close()
            raise BlobError(answer.status_code, f"{answer.status_code} {answer.reason} {code}")
        return answer


def _no_answer(error: requests.RequestException) -> BlobError:
    # The text of such an error holds the URL with its SAS, which must not reach a failureInfo.
    timed_out = isinstance(error, requests.Timeout)
    return BlobError(None, type(error).__name__, timed_out=timed_out)


def blob_url(container: str, name: str) -> str:
    """Return the URL of a blob, with the query of its container's URL."""
    parts = urlsplit(container)
    path = f"{parts.path.rstrip('/')}/{quote(name, safe='/~')}"
    return urlunsplit(parts._replace(path=path))


def with_query(url: str, query: Mapping[str, str]) -> str:
    """Return a URL with parameters put before those that it has."""
    parts = urlsplit(url)
    text = "&".join(part for part in (urlencode(query), parts.query) if part)
    return urlunsplit(parts._replace(query=text))


def bare(url: str) -> str:
    """Return a URL without its query, where a SAS would be."""
    return urlunsplit(urlsplit(url)._replace(query=""))
