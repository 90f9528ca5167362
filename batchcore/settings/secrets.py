"""No credential may stand where others could read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from batchcore.credentials import is_secret
from batchcore.errors import SettingsError
from batchcore.settings.model import Origin, Path, variable


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
