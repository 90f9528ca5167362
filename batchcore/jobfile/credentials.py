"""What may stand in a backend's options: plain data, and no credential."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from batchcore.credentials import is_secret
from batchcore.errors import Problem

_DEEPEST = 32
_TOO_DEEP = object()


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


def _leaves(
    value: object, path: tuple[str, ...], depth: int = 0
) -> Iterator[tuple[tuple[str, ...], object]]:
    if depth > _DEEPEST:
        yield path[:2], _TOO_DEEP
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, (*path, str(name)), depth + 1)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*path[:-1], f"{path[-1]}[{index}]"), depth + 1)
    else:
        yield path, value


def _problem(path: tuple[str, ...], value: object) -> Problem | None:
    key = ".".join(("backend", *path))
    if value is _TOO_DEEP:
        return Problem(code="BC2001", reason="the options are nested too deeply", key=key)
    if is_secret((re.sub(r"\[\d+\]", "", path[-1]),), value):
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
