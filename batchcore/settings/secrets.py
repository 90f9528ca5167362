"""Recognising credentials, so that none stands in a file or is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from batchcore.errors import SettingsError
from batchcore.settings.model import Origin, Path, variable

MASK = "***"

# The end of a key decides: `sas_hours` and `token_url` hold no credential.
_SECRET_KEY = re.compile(
    r"(^|[_.-])(password|passwd|passphrase|secret|token|sas|credentials?|key"
    r"|connection_?string|conn_?str)$"
)
_PUBLIC_KEY = re.compile(r"(^|[_.-])(public|partition)_?key$")
_SECRET_VALUE = re.compile(
    r"[?&]sig=|AccountKey=|SharedAccess(Key|Signature)=|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|://[^/\s:@]*:[^/\s@]+@",
    re.IGNORECASE,
)


def is_secret_key(key: str) -> bool:
    """Say whether a key is named like a credential."""
    key = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower().replace("-", "_")
    return bool(_SECRET_KEY.search(key)) and not _PUBLIC_KEY.search(key)


def is_secret(path: Path, value: object) -> bool:
    """Say whether a value is a credential by a key on its path or by its own look.

    Numbers, truth values and empty texts are none.
    """
    if not isinstance(value, str | bytes) or not value:
        return False
    text = value if isinstance(value, str) else value.decode(errors="replace")
    return any(map(is_secret_key, path)) or bool(_SECRET_VALUE.search(text))


def masked(path: Path, value: Any) -> Any:
    """Return plain data with every credential in it replaced."""
    if isinstance(value, Mapping):
        return {key: masked((*path, str(key)), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(path, item) for item in value]
    return MASK if is_secret(path, value) else value


def refuse_credentials(scope: str, path: Path, value: Any, origin: Origin) -> None:
    """Raise `SettingsError` (BC2401) for a credential that others could read; never shows it."""
    for where in _credentials(path, value):
        key = origin.spelling(scope, where)
        stands = "on the command line" if origin.kind == "set" else f"in {origin.label}"
        raise SettingsError(
            f"{key!r} looks like a credential, and it stands {stands}, where others can read it",
            hint=f"remove it there and export {variable(scope, where)} instead"
            if scope
            else "remove it there; backends take credentials from the environment",
            where=origin.place(scope, where),
            code="BC2401",
        )


def _credentials(path: Path, value: Any) -> Iterator[Path]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _credentials((*path, str(key)), item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _credentials(path, item)
    elif is_secret(path, value):
        yield path
