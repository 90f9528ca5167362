"""What may stand in a backend's options: plain data, and no credential."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from batchcore.errors import Problem

# Only the end of a name counts: `sas_hours` and `token_lifetime` are settings, not credentials.
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:pass(?:word|wd|phrase)?|pwd|secret|token|sas|sas_(?:url|uri)"
    r"|(?:connection|conn)_?str(?:ing)?|(?:account|access|api|app|auth|batch|client|encryption"
    r"|master|primary|private|secondary|secret|shared|signing|storage|subscription)_?key)$|^key$"
)
_SECRET_VALUE = re.compile(
    r"(?:account|shared_?access_?)key=|sharedaccesssignature=|[?&]sig="
    r"|-----BEGIN [A-Z ]*PRIVATE KEY|://[^/?#@\s:]*:[^/?#@\s]+@",
    re.IGNORECASE,
)


def option_problems(backend: object) -> list[Problem]:
    """Return what is wrong with the options of all backends, whatever the backend.

    A name or a value that looks like a credential is refused (its value is never shown), and so is
    what JSON has no form for: dates, NaN, objects. The wrong shape of the whole is not judged here.
    """
    return [
        problem
        for name, options in _items(backend)
        for key, value in _leaves(options, (str(name),))
        if (problem := _problem(key, value)) is not None
    ]


def _items(value: object) -> Iterator[tuple[object, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()


def _leaves(value: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, (*path, str(name)))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*path[:-1], f"{path[-1]}[{index}]"))
    else:
        yield path, value


def _problem(path: tuple[str, ...], value: object) -> Problem | None:
    key = ".".join(("backend", *path))
    if isinstance(value, str | bytes) and value and _is_secret(path[-1], value):
        variable = re.sub(r"[^A-Z0-9]+", "_", "_".join(("BATCHCORE", *path)).upper()).strip("_")
        return Problem(
            code="BC2401",
            reason="a credential must not stand in a job",
            hint=f"remove it and export {variable}",
            key=key,
        )
    if isinstance(value, float) and not math.isfinite(value):
        return Problem(code="BC2001", reason="this is not a finite number", key=key)
    if value is None or isinstance(value, str | bool | int | float):
        return None
    return Problem(
        code="BC2001",
        reason=f"an option is a text, a number, true or false, not a {type(value).__name__}",
        hint="write it in quotes",
        key=key,
    )


def _is_secret(name: str, value: str | bytes) -> bool:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    word = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "_", re.sub(r"\[\d+\]", "", name))
    return bool(_SECRET_NAME.search(word.lower()) or _SECRET_VALUE.search(text))
