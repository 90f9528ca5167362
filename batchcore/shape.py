"""A value built in Python is held to its annotations, as one read from a file is.

Without this a misspelt ``on="succes"`` would be taken for something else, and a number where a
text belongs would be written to a ``job.json`` that cannot be read back.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, get_args, get_type_hints

import msgspec
from msgspec import Struct, ValidationError
from msgspec.structs import astuple, force_setattr

from batchcore.errors import JobError, suggest

_MESSAGE = re.compile(r"(.*?)(?: - at `\$\.([^`]*)`)?", re.DOTALL)
_TYPES = re.compile(r"Expected `([^`]*)`, got `([^`]*)`")
_COMMON = frozenset({str, int, float, bool, bytes, list, tuple, dict, type(None)})
_RANGE = re.compile(r"Expected `\w+` (>=|<=) (\S+)")
WORDS = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "None",
}
_OBJECTS = {
    "tasks": "a Task",
    "resources": "a Resource",
    "outputs": "an Output",
    "mounts": "a Mount",
    "depends_on": "a Dependency",
    "requirements": "Requirements",
}


def conform(value: Struct) -> None:
    """Check every field of a new value, and make the containers in it the value's own.

    A `pathlib.Path` becomes its text. Raises `JobError` (permanent) with the field as key; the
    refused value is not shown, as it may be a secret.
    """
    given = {
        name: _plain(field)
        for (name, default), field in zip(_defaults(type(value)), astuple(value), strict=True)
        if field is not default
    }
    try:
        shaped = msgspec.convert(given, _shape(type(value)))
    except ValidationError as exc:
        if isinstance(exc.__cause__, JobError):
            raise exc.__cause__ from None
        raise _refusal(value, str(exc)) from None
    for name in given:
        force_setattr(value, name, getattr(shaped, name))


def listed(value: object, key: str) -> tuple[Any, ...]:
    """Return the items of any iterable but a text, bytes or a table, which are slips."""
    if type(value) is tuple:  # much faster than the questions that follow
        return value
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise JobError.of("BC2001", f"{key} must be a list", hint=f"write {key} = […]", key=key)
    return tuple(value)


def is_text(value: object) -> bool:
    """Return whether a value is a text that can be a word of a command or in an environment."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain(value: Any) -> Any:
    if type(value) in _COMMON:  # much faster than the question that follows
        return value
    return os.fspath(value) if isinstance(value, os.PathLike) else value


@cache
def _defaults(cls: type[Struct]) -> tuple[tuple[str, object], ...]:
    """Return each field with its default: a value that is that very object needs no check."""
    return tuple((field.name, field.default) for field in msgspec.structs.fields(cls))


@cache
def _shape(cls: type[Struct]) -> type[Struct]:
    """Return a type of the same fields that msgspec checks without the class's own checks."""
    hints = get_type_hints(cls, include_extras=True)
    fields = [(name, hints[name], None) for name in cls.__struct_fields__]
    return msgspec.defstruct(cls.__name__, fields)


def in_words(message: str, words: Mapping[str, str] = WORDS) -> str:
    """Return what msgspec's `message` says of a value, to stand after its name."""
    if types := _TYPES.match(message):
        wanted = " or ".join(words.get(t, t) for t in types[1].split(" | ") if t != "null")
        return f"must be {wanted}, not {words.get(types[2], types[2])}"
    if limit := _RANGE.match(message):
        return f"must be {'at least' if limit[1] == '>=' else 'at most'} {limit[2]}"
    return f"is not right: {message[:1].lower()}{message[1:]}"


def _refusal(value: Struct, message: str) -> JobError:
    match = _MESSAGE.fullmatch(message)
    text, key = (match[1], match[2] or "") if match else (message, "")
    field = re.split(r"[.\[]", key)[0]
    if _TYPES.match(text) or _RANGE.match(text):
        words = {**WORDS, "object": _OBJECTS.get(field, "a table")}
        return JobError.of("BC2001", f"{key or 'a name'} {in_words(text, words)}", key=key)
    given = getattr(value, field, None)
    choices = _choices(get_type_hints(type(value)).get(field))
    if choices and isinstance(given, str):
        reason = f"{given!r} is not a value of {field}"
        return JobError.of("BC2002", reason, hint=suggest(given, choices), key=key)
    return JobError.of("BC2001", f"{key} {in_words(text)}", key=key)


def _choices(hint: Any) -> list[str]:
    found: list[str] = []
    for part in get_args(hint):
        found += [part] if isinstance(part, str) else _choices(part)
    return found
