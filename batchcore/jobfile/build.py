"""From raw data to a value of the model, piece by piece, so that every problem is found at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar, cast

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import FieldInfo, fields, replace

from batchcore.errors import JobError, Problem
from batchcore.jobfile.wording import (
    inside,
    missing_key,
    quoted,
    type_problem,
    unknown_key,
    wrong_type,
)
from batchcore.model import Dependency, Job, Mount, Output, Requirements, Resource, Task

Value = TypeVar("Value", bound=Struct)

_LISTS: dict[str, type[Struct]] = {
    "tasks": Task,
    "resources": Resource,
    "outputs": Output,
    "mounts": Mount,
    "depends_on": Dependency,
}
_SHORTHAND = (Output, Dependency)
# The least that each value needs, to try its fields one at a time.
_LEAST: dict[type[Struct], dict[str, Any]] = {
    Job: {"name": "job"},
    Task: {"id": "task"},
    Resource: {"path": "file", "text": ""},
    Output: {"path": "file"},
    Mount: {"path": "/mnt", "source": "."},
    Requirements: {},
    Dependency: {"task": "task"},
}
_TABLES: dict[type[Struct], str] = {
    Task: "{{ id = {} }}",
    Resource: "{{ path = {0}, source = {0} }}",
    Mount: '{{ path = "/data", source = {} }}',
}
_ORIGINS = {"source", "text", "content"}


def build(
    cls: type[Value], raw: object, key: str, problems: list[Problem], *, lax: bool = False
) -> Value | None:
    """Return the value that `raw` describes; or None, and what is wrong is in `problems`.

    `lax` accepts a number or a flag as text, for values that come from the cells of a table.
    """
    try:
        return msgspec.convert(raw, cls, strict=not lax)
    except msgspec.ValidationError:
        return _build(cls, raw, key, problems, lax=lax)  # slower, and finds everything


def _build(
    cls: type[Value], raw: object, key: str, problems: list[Problem], *, lax: bool
) -> Value | None:
    if not isinstance(raw, dict):
        problems.append(wrong_type(key, "a table", raw, _as_table(cls, raw)))
        return None
    before = len(problems)
    known = {field.encode_name: field for field in fields(cls)}
    values: dict[str, Any] = {}
    for name, value in raw.items():
        field = known.get(name)
        if field is None:
            problems.append(unknown_key(name, cls, key, known))
        else:
            values[field.name] = _field(field, value, inside(key, name), problems, lax=lax)
    problems += [
        missing_key(cls, f, key) for f in known.values() if f.required and f.name not in raw
    ]
    complete = len(problems) == before
    good = {name: value for name, value in values.items() if value is not UNSET}
    if complete:
        try:
            return cls(**good)
        except JobError:
            pass
    found = _explain(cls, good, complete=complete)
    problems += [replace(p, key=inside(key, p.key)) for p in found]
    return None


def _as_table(cls: type[Struct], raw: object) -> str:
    """Return the table that a lone text may stand for."""
    if not isinstance(raw, str) or cls not in _TABLES:
        return ""
    text = json.dumps(raw, ensure_ascii=False)
    return "write " + _TABLES[cls].format(text)


def _field(field: FieldInfo, raw: Any, key: str, problems: list[Problem], *, lax: bool) -> Any:
    """Return one field's value, or `UNSET` where it cannot be used at all."""
    if field.type is Requirements:
        value = build(Requirements, raw, key, problems, lax=lax)
        return UNSET if value is None else value
    if field.name in _LISTS:
        return _list(_LISTS[field.name], raw, key, problems, lax=lax)
    if field.type == dict[str, str]:
        return _mapping(str, raw, key, problems)
    if field.name == "backend_options":
        return _mapping(dict, raw, key, problems)
    try:
        return msgspec.convert(raw, field.type, strict=not lax)
    except msgspec.ValidationError as exc:
        problems.append(type_problem(field, raw, key, str(exc)))
        return UNSET


def _list(cls: type[Struct], raw: Any, key: str, problems: list[Problem], *, lax: bool) -> Any:
    if not isinstance(raw, list):
        problems.append(wrong_type(key, "a list", raw, "put it in [ ]"))
        return UNSET
    built = []
    for index, item in enumerate(raw):
        place = f"{key}[{index}]"
        if isinstance(item, str) and cls in _SHORTHAND:
            faults = _faults(cls, {fields(cls)[0].name: item})
            problems += [replace(p, key=place) for p in faults]
            if not faults:
                built.append(cast("Any", cls)(item))
        elif (value := build(cls, item, place, problems, lax=lax)) is not None:
            built.append(value)
    return built


def _mapping(kind: type, raw: Any, key: str, problems: list[Problem]) -> Any:
    texts = kind is str
    if not isinstance(raw, dict):
        hint = f'write {key} = {{ NAME = "value" }}' if texts else _backend_hint(raw)
        problems.append(wrong_type(key, "a table", raw, hint))
        return UNSET
    for name, value in raw.items():
        if not isinstance(value, kind):
            place, hint = f"{key}.{name}", quoted(name, value) if texts else "write [backend.NAME]"
            wanted = "a text" if texts else "a table"
            problems.append(wrong_type(place, wanted, value, hint))
    return {name: value for name, value in raw.items() if isinstance(value, kind)}


def _backend_hint(raw: object) -> str:
    name = raw if isinstance(raw, str) else "NAME"
    return f"write [backend.{name}] for its options, and choose it by --backend {name}"


def _faults(cls: type[Struct], values: Mapping[str, Any]) -> list[Problem]:
    try:
        cast("Any", cls)(**values)
    except JobError as exc:
        return list(exc.problems)
    return []


def _explain(cls: type[Struct], values: Mapping[str, Any], *, complete: bool) -> list[Problem]:
    """Find all that a constructor would refuse, which itself stops at the first problem."""
    found: list[Problem] = []
    good: dict[str, Any] = {}
    for name, value in values.items():
        if name in _ORIGINS and cls is Resource:
            bad = []
        else:
            least = _LEAST[cls]
            bad = [p for one in _pieces(name, value) for p in _faults(cls, {**least, name: one})]
        found += bad
        if not bad:
            good[name] = value
    if complete or cls is not Resource:
        required = {f.name for f in fields(cls) if f.required}
        least = {name: value for name, value in _LEAST[cls].items() if name in required}
        found += _faults(cls, {**least, **good})
    return found


def _pieces(name: str, value: Any) -> list[Any]:
    if isinstance(value, dict) and name != "backend_options":
        return [{key: text} for key, text in value.items()]
    if name == "secrets":
        return [(secret,) for secret in value]
    return [value]
