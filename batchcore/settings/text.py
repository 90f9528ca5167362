"""Reading values that come as text: from the environment, from flags and from ``--set``."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from typing import Any

import msgspec

from batchcore.settings import types
from batchcore.settings.model import Form

_MISSING = object()


def from_text(text: str, tp: types.Type, form: Form) -> Any:
    """Return plain data that the type accepts.

    In form ``plain`` the text itself comes first, in form ``toml`` the TOML value that it may be.
    Lists may also be written with commas; lists and tables as TOML or JSON. Raises
    `msgspec.ValidationError`.
    """
    if types.is_table(tp) and isinstance(table := _parsed(text), dict):
        return table
    problem: msgspec.ValidationError | None = None
    for value, strict in _readings(text, tp, form):
        try:
            converted = msgspec.convert(value, tp, strict=strict)
        except msgspec.ValidationError as exc:
            problem = problem or exc
        else:
            return msgspec.to_builtins(converted, enc_hook=str)
    raise problem or msgspec.ValidationError(f"Expected {types.describe(tp)}")


def _readings(text: str, tp: types.Type, form: Form) -> Iterator[tuple[Any, bool]]:
    """Yield the ways to read a text, the likeliest first, and how strictly to take each."""
    bracketed = text.lstrip().startswith("[")
    if form == "toml" or types.is_table(tp) or (bracketed and types.is_list(tp)):
        value = _parsed(text)
        if value is not _MISSING:
            yield value, True
    yield text, False
    if types.is_list(tp) and not bracketed:
        yield [part.strip() for part in text.split(",") if part.strip()], False


def _parsed(text: str) -> Any:
    try:
        data = tomllib.loads(f"value = {text}")
        # A text with a line break could hold further keys.
        if data.keys() == {"value"}:
            return data["value"]
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _MISSING
