"""Looking into the type of a setting: its parts, its name for people, an example."""

from __future__ import annotations

import types
from collections.abc import Mapping, MutableMapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

Type = Any
"""A type as an annotation gives it: a class, a union, an `Annotated`."""

_NAMES: Mapping[Type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    bytes: "a text in base64",
}
_EXAMPLES: Mapping[Type, str] = {bool: "true", int: "4", float: "1.5"}
_TABLES = (dict, Mapping, MutableMapping)
_LISTS = (list, tuple, set, frozenset, Sequence, AbstractSet)


def fields(tp: Type) -> Mapping[str, Type] | None:
    """Return the keys and types of a Struct, None for any other type."""
    tp = _plain(tp)
    if not (isinstance(tp, type) and issubclass(tp, msgspec.Struct)):
        return None
    return {field.encode_name: field.type for field in msgspec.structs.fields(tp)}


def item(tp: Type) -> Type | None:
    """Return the type of what stands below a table's free keys, None where none may.

    A choice between several tables is free here; the final conversion judges it.
    """
    tp = _plain(tp)
    if tp in (Any, object):
        return Any
    if (_origin(tp) or tp) in _TABLES:
        return (*get_args(tp), Any, Any)[1]
    alternatives = get_args(tp) if _is_union(tp) else ()
    return Any if any(is_table(each) for each in alternatives) else None


def is_table(tp: Type) -> bool:
    """Say whether a value of this type is written as a table."""
    return fields(tp) is not None or (item(tp) is not None and _plain(tp) not in (Any, object))


def is_list(tp: Type) -> bool:
    """Say whether a value of this type is written as a list."""
    tp = _plain(tp)
    return (_origin(tp) or tp) in _LISTS


def choices(tp: Type) -> Sequence[Any]:
    """Return the values that a Literal allows, nothing for other types."""
    tp = _plain(tp)
    return get_args(tp) if _origin(tp) is Literal else ()


def describe(tp: Type) -> str:
    """Return a type as people say it, such as ``a whole number, at least 1``."""
    if _origin(tp) is Annotated:
        base, *notes = get_args(tp)
        limits = [text for note in notes for text in _limits(note)]
        return ", ".join([describe(base), *limits])
    if _is_union(tp):
        return " or ".join(describe(each) for each in get_args(tp) if each is not type(None))
    if options := choices(tp):
        return " or ".join(f'"{option}"' for option in options)
    if is_list(tp):
        return "a list"
    if is_table(tp):
        return "a table"
    return _NAMES.get(tp) or str(getattr(tp, "__name__", tp))


def example(tp: Type) -> str:
    """Return a value of the type as TOML writes it."""
    plain = _plain(tp)
    if _is_union(plain):
        plain = next(each for each in get_args(plain) if each is not type(None))
    if options := choices(plain):
        return f'"{options[0]}"'
    if is_list(plain):
        return '["a", "b"]'
    return "{ key = 1 }" if is_table(plain) else _EXAMPLES.get(plain, '"text"')


def _plain(tp: Type) -> Type:
    """Strip annotations, and None from a choice between it and one other type."""
    while _origin(tp) is Annotated:
        tp = get_args(tp)[0]
    if _is_union(tp):
        others = [each for each in get_args(tp) if each is not type(None)]
        return _plain(others[0]) if len(others) == 1 else tp
    return tp


def _origin(tp: Type) -> Any:
    """Return what a generic type is made from; mypy finds the plain call too narrow."""
    return get_origin(tp)


def _is_union(tp: Type) -> bool:
    return _origin(tp) in (Union, types.UnionType)


def _limits(note: object) -> list[str]:
    if not isinstance(note, msgspec.Meta):
        return []
    words = {
        "ge": "at least",
        "gt": "above",
        "le": "at most",
        "lt": "below",
        "min_length": "of length at least",
        "max_length": "of length at most",
        "pattern": "matching",
    }
    values = {name: getattr(note, name) for name in words}
    return [f"{words[name]} {value}" for name, value in values.items() if value is not None]
