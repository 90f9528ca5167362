"""Who may call: shared keys, as in "Authenticate requests to the Azure Batch service"."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl

from batchcore_azure.emulator.records import Refusal
from batchcore_azure.emulator.settings import EmulatorSettings

_SIGNED_HEADERS = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)


def verify(
    settings: EmulatorSettings,
    *,
    method: str,
    raw_path: str,
    query: str,
    headers: Mapping[str, str],
    now: datetime,
) -> None:
    """Raise `Refusal` 403 AuthenticationFailed unless the caller holds the account's key.

    `headers` have lower-case names. Names in the query may be signed as sent or in lower case:
    the documentation says the one, the SDK does the other.
    """
    if not settings.signed:
        return
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if settings.tokens and scheme == "Bearer" and given:
        return
    if scheme != "SharedKey":
        raise _refused("no shared key", 401 if not scheme else 403)
    account, _, signature = given.partition(":")
    if account != settings.account:
        raise _refused("another account")
    _check_age(settings, headers, now)
    texts = {
        to_sign(account, method, raw_path, _pairs(query, lower=lower), headers)
        for lower in (False, True)
    }
    if not any(hmac.compare_digest(sign(settings.key, text), signature) for text in texts):
        raise _refused("the signature does not fit the request")


def to_sign(
    account: str,
    method: str,
    raw_path: str,
    query: Iterable[tuple[str, str]],
    headers: Mapping[str, str],
) -> str:
    """Return the text that a shared key signs: the path as sent, the query decoded."""
    length = {} if method in {"GET", "HEAD"} else {"content-length": "0"}
    known = {**length, **headers}
    own = sorted((name, value) for name, value in headers.items() if name.startswith("ocp-"))
    return "".join(
        [
            f"{method}\n",
            "\n".join(known.get(name, "") for name in _SIGNED_HEADERS) + "\n",
            *(f"{name}:{value}\n" for name, value in own if value),
            f"/{account}{raw_path}",
            *(f"\n{name}:{value}" for name, value in sorted(dict(reversed(list(query))).items())),
        ]
    )


def sign(key: str, text: str) -> str:
    """Return the signature of a text; raises `ValueError` for a key that is no base64."""
    try:
        secret = base64.b64decode(key, validate=True)
    except binascii.Error as exc:
        raise ValueError("the account key is not base64") from exc
    return base64.b64encode(hmac.digest(secret, text.encode(), hashlib.sha256)).decode()


def _pairs(query: str, *, lower: bool) -> list[tuple[str, str]]:
    return [(name.lower() if lower else name, value) for name, value in parse_qsl(query)]


def _check_age(settings: EmulatorSettings, headers: Mapping[str, str], now: datetime) -> None:
    if settings.skew_seconds is None:
        return
    try:
        sent = parsedate_to_datetime(headers.get("ocp-date") or headers.get("date", ""))
    except ValueError:
        raise _refused("no readable date") from None
    if abs((now - sent.replace(tzinfo=sent.tzinfo or UTC)).total_seconds()) > settings.skew_seconds:
        raise _refused("the date is too far from that of the service")


def _refused(why: str, status: int = 403) -> Refusal:
    return Refusal(
        status,
        "AuthenticationFailed",
        "Server failed to authenticate the request. Make sure the value of Authorization header "
        "is formed correctly including the signature.",
        AuthenticationErrorDetail=why,
    )
