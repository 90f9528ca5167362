"""Merging values that come from several places into one typed value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from batchcore.credentials import is_secret, is_secret_name, masked
from batchcore.errors import BatchcoreError, SettingsError, suggest
from batchcore.settings import types
from batchcore.settings.model import Given, Leaf, Origin, Path, SettingRow
from batchcore.settings.text import from_text

Leaves = dict[Path, Leaf]
Value = TypeVar("Value", bound=Struct)

_AT = re.compile(r"(?P<text>.*?)(?: - at `\$(?P<path>[^`]*)`)?", re.DOTALL)
_SHOWN = 60


def merge(givens: Iterable[Given], wanted: type[Value], scope: str) -> tuple[Value, Leaves]:
    """Return the value that the givens make, later ones winning, and the leaves it is made of.

    Tables are merged key by key; everything else is replaced whole. `scope` is the backend that
    the settings belong to, empty for the core. Raises `SettingsError` that names the origin for
    an unknown key and for a value of the wrong type.
    """
    leaves: Leaves = {}
    for given in givens:
        for path, leaf in _leaves(given, wanted, scope):
            _put(leaves, path, leaf)
    try:
        return msgspec.convert(_nested(leaves), wanted), leaves
    except msgspec.ValidationError as exc:
        raise _refused(exc, leaves, scope) from exc


def rows(value: Struct, leaves: Leaves, scope: str) -> Iterator[SettingRow]:
    """Yield every setting of a value with its origin, what looks secret masked."""
    prefix = (scope,) if scope else ()
    for path, item in _walk((), value):
        plain = masked(path, msgspec.to_builtins(item, enc_hook=str))
        found = _origin(leaves, path)
        origin = found.text(scope, path) if found else "default"
        yield SettingRow(".".join((*prefix, *path)), plain, origin)


def _leaves(given: Given, wanted: types.Type, scope: str) -> Iterator[tuple[Path, Leaf]]:
    path: Path = ()
    tp = wanted
    for word in given.path:
        key, tp = _step(tp, path, word, given.origin, scope)
        path = (*path, key)
    value = given.value
    if given.form != "data":
        try:
            value = from_text(value, tp, given.form)
        except msgspec.ValidationError as exc:
            raise _wrong(tp, path, given.value, given.origin, scope) from exc
    yield from _flat(tp, path, value, given.origin, scope)


def _flat(
    tp: types.Type, path: Path, value: Any, origin: Origin, scope: str
) -> Iterator[tuple[Path, Leaf]]:
    if isinstance(value, Mapping) and value and (types.is_table(tp) or tp is Any):
        for word, part in value.items():
            key, part_type = _step(tp, path, str(word), origin, scope)
            yield from _flat(part_type, (*path, key), part, origin, scope)
        return
    try:
        msgspec.convert(value, tp)
    except msgspec.ValidationError as exc:
        raise _wrong(tp, path, value, origin, scope) from exc
    yield path, Leaf(value, origin)


def _step(
    tp: types.Type, path: Path, word: str, origin: Origin, scope: str
) -> tuple[str, types.Type]:
    """Return the key that a word means below a type, and the type there."""
    fields = types.fields(tp)
    if fields is None:
        below = types.item(tp)
        if below is None:
            raise SettingsError(
                f"{'.'.join(path)} is {types.describe(tp)} and has no part {word!r}",
                hint=_write(tp, path, origin, scope),
                where=origin.place(scope, (*path, word)),
            )
        return word, below
    if origin.kind == "environment":
        # A variable has neither case nor hyphens.
        word = next((key for key in fields if key.lower().replace("-", "_") == word), word)
    if word in fields:
        return word, fields[word]
    whose = f"{scope} has no setting" if scope else "there is no setting"
    spelling = origin.spelling(scope, (*path, word))
    raise SettingsError(
        f"{whose} {'.'.join((*path, word))!r}",
        hint=suggest(spelling, [origin.spelling(scope, (*path, key)) for key in fields]),
        where=origin.place(scope, (*path, word)),
    )


def _put(leaves: Leaves, path: Path, leaf: Leaf) -> None:
    """Set a leaf; what stood above or below it goes, but an empty table takes nothing away."""
    below = [other for other in leaves if other[: len(path)] == path and other != path]
    if leaf.value == {} and below:
        return
    above = [path[:length] for length in range(len(path))]
    for other in (*below, *above):
        leaves.pop(other, None)
    leaves[path] = leaf


def _nested(leaves: Leaves) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for path, leaf in leaves.items():
        if not path:
            continue
        table = root
        for key in path[:-1]:
            table = table.setdefault(key, {})
        table[path[-1]] = leaf.value
    return root


def _walk(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, Struct):
        for field in msgspec.structs.fields(value):
            yield from _walk((*path, field.encode_name), getattr(value, field.name))
    elif isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _walk((*path, str(key)), item)
    else:
        yield path, value


def _origin(leaves: Leaves, path: Path) -> Origin | None:
    """Return the origin of the leaf at, above or below a path."""
    for length in range(len(path), 0, -1):
        if path[:length] in leaves:
            return leaves[path[:length]].origin
    return next((leaf.origin for p, leaf in leaves.items() if p[: len(path)] == path), None)


def _wrong(tp: types.Type, path: Path, value: Any, origin: Origin, scope: str) -> SettingsError:
    key = ".".join(path) or f"[backend.{scope}]"
    options: Sequence[Any] = types.choices(tp)
    secret = is_secret(path, value) or any(map(is_secret_name, path))
    shown = "" if secret else f", not {_shown(masked(path, value))}"
    return SettingsError(
        f"{key} must be {types.describe(tp)}{shown}",
        hint=suggest(value, map(str, options))
        if options and isinstance(value, str)
        else _write(tp, path, origin, scope),
        where=origin.place(scope, path),
    )


def _write(tp: types.Type, path: Path, origin: Origin, scope: str) -> str:
    """Return what to type for a value of the right type, in the language of its origin."""
    value = types.example(tp)
    name = origin.spelling(scope, path)
    if origin.kind == "environment":
        return f"export {name}={_quoted(value)}"
    if origin.kind == "set":
        return f"--set {name}={_quoted(value)}"
    if origin.kind == "flag":
        return f"{name} {_quoted(value)}"
    return f"write {path[-1]} = {value}" if path else "write a table"


def _quoted(value: str) -> str:
    """Write a TOML value as a word of a shell line."""
    if value.startswith('"'):
        return value.strip('"')
    return f"'{value}'" if " " in value else value


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of thousands of digits
        return "so large a number"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _refused(exc: msgspec.ValidationError, leaves: Leaves, scope: str) -> SettingsError:
    """Return the error for values that are right one by one and wrong together."""
    match = _AT.fullmatch(str(exc))
    text, at = (match["text"], match["path"] or "") if match else (str(exc), "")
    path = tuple(part for part in re.split(r"[.\[\]]+", at) if part)
    origin = _origin(leaves, path)
    cause = exc.__cause__
    own = cause if isinstance(cause, BatchcoreError) else None
    origins = dict.fromkeys(leaf.origin.text(scope, p) for p, leaf in leaves.items())
    return SettingsError(
        f"the settings{f' of {scope}' if scope else ''} do not fit together: "
        f"{own.reason if own else text}",
        hint=own.hint if own else "batchcore config show names the origin of each value",
        where=origin.place(scope, path) if origin and path else ", ".join(origins),
    )
