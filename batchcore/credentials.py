"""Recognising credentials by name or look, so that none is stored, shown or passed on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

MASK = "***"

# The end of a name decides: `sas_hours` and `token_url` hold no credential.
_SECRET_NAME = re.compile(
    r"(^|_)(password|passwd|passphrase|pwd|secret|token|sas|sas_ur[li]|credentials?|key|(account|access|api)key"
    r"|connection_?str(ing)?|conn_?str(ing)?)$"
)
_PUBLIC_NAME = re.compile(r"(^|_)(public|partition|sort)_?key$")
_SECRET_VALUE = re.compile(
    r"[?&](sig|(access_)?token|X-(Amz|Goog)-Signature)="
    r"|AccountKey=|Shared_?Access_?(Key|Signature)=|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|://[^/?#@\s:]*:[^/?#@\s]+@",
    re.IGNORECASE,
)


def is_secret_name(name: str) -> bool:
    """Return whether a name says that it holds a credential."""
    word = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "_", name).lower()
    return bool(_SECRET_NAME.search(word)) and not _PUBLIC_NAME.search(word)


def is_secret_value(value: object) -> bool:
    """Return whether a value looks like a credential, or a text that carries one."""
    if not isinstance(value, str | bytes):
        return False
    text = value if isinstance(value, str) else value.decode(errors="replace")
    return _SECRET_VALUE.search(text) is not None


def is_secret(path: Iterable[str], value: object) -> bool:
    """Return whether a value is a credential, by a name on its path or by its look.

    Numbers, truth values and empty texts are none.
    """
    if not isinstance(value, str | bytes) or not value:
        return False
    return any(map(is_secret_name, path)) or is_secret_value(value)


def masked(path: tuple[str, ...], value: Any) -> Any:
    """Return plain data with every credential in it replaced."""
    if isinstance(value, Mapping):
        return {key: masked((*path, str(key)), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(path, item) for item in value]
    return MASK if is_secret(path, value) else value
