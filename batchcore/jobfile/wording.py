"""What a problem with raw data says, and where it says it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from msgspec import Struct
from msgspec.structs import FieldInfo, fields

from batchcore.credentials import is_secret_name
from batchcore.errors import Problem, suggest
from batchcore.model import Dependency, Job, Mount, Output, Requirements, Resource, Task
from batchcore.shape import WORDS, in_words

_NOUNS: dict[type[Struct], str] = {
    Job: "a job file",
    Task: "a task",
    Resource: "a resource",
    Output: "an output",
    Mount: "a mount",
    Requirements: "requirements",
    Dependency: "a dependency",
}
_WORDS = {**WORDS, "null": "null"}
# What may stand in a field, as it is typed.
_EXAMPLES = {
    "name": '"my-job"',
    "id": '"task-1"',
    "path": '"out.csv"',
    "source": '"data"',
    "task": '"task-1"',
    "timeout": '"30m"',
    "grace": '"10s"',
    "memory": '"2GiB"',
    "disk": '"10GiB"',
    "cpus": "1",
    "gpus": "1",
    "retries": "3",
    "interruptions": "5",
    "max_parallel": "4",
    "fail_fast": "true",
    "required": "false",
    "mode": '"0644"',
    "command": '["python3", "/worker.py"]',
}
_MESSAGE = re.compile(r"(.*?)(?: - at `\$\.*([^`]*)`)?", re.DOTALL)


def inside(key: str, inner: str) -> str:
    """Return the key `inner` of the value at `key`; a name that both have is written once."""
    head = key.rsplit(".", 1)[-1]
    if head and (inner == head or inner.startswith((f"{head}.", f"{head}["))):
        inner = inner[len(head) :]
        return key + inner
    return f"{key}.{inner}" if key and inner else key or inner


def unknown_key(name: str, cls: type[Struct], key: str, known: Iterable[str]) -> Problem:
    """Return the problem of a key that `cls` does not have."""
    hint = suggest(name, known)
    if cls in {Job, Task} and name in {field.name for field in fields(Requirements)}:
        hint = f"write requirements = {{ {name} = {_EXAMPLES[name]} }}"
    elif cls is Task and name in {field.encode_name for field in fields(Job)}:
        hint = f"write {name} above the first [tasks] or [[tasks]]: it is the job's"
    return Problem(
        code="BC2301",
        reason=f"{name!r} is not a key of {_NOUNS[cls]}",
        hint=hint,
        key=inside(key, name),
    )


def wrong_type(key: str, wanted: str, value: object, hint: str = "") -> Problem:
    """Return the problem of a value of another type; the value itself is not shown."""
    name = key.rsplit(".", 1)[-1] or "the file"
    return Problem(
        code="BC2001",
        reason=f"{name} must be {wanted}, not {kind_of(value)}",
        hint=hint,
        key=key,
    )


def kind_of(value: object) -> str:
    """Return the type of a raw value in the words of a job file."""
    if isinstance(value, bool):
        return "true or false"
    kinds: tuple[tuple[Any, str], ...] = (
        (str, "a text"),
        (int | float, "a number"),
        (list | tuple, "a list"),
        (Mapping, "a table"),
        (type(None), "null"),
    )
    return next((word for kind, word in kinds if isinstance(value, kind)), type(value).__name__)


def missing_key(cls: type[Struct], field: FieldInfo, key: str) -> Problem:
    """Return the problem of a field that must be given."""
    return Problem(
        code="BC2202",
        reason=f"{_NOUNS[cls]} needs {field.name}",
        hint=f"write {field.name} = {_EXAMPLES[field.name]}",
        key=inside(key, field.name),
    )


def type_problem(field: FieldInfo, raw: Any, key: str, message: str) -> Problem:
    """Return the problem of a field whose value msgspec refused with `message`."""
    match = _MESSAGE.fullmatch(message)
    text, path = (match[1], match[2] or "") if match else (message, "")
    choices = next(_literals(field.type), ())
    if choices and isinstance(raw, str):
        reason = f"{raw!r} is not a value of {field.name}"
        return Problem(code="BC2002", reason=reason, hint=suggest(raw, choices), key=key)
    name = f"{key}{path if path.startswith('[') else ''}"
    reason = f"{field.encode_name} {in_words(text, _WORDS)}"
    hint = _other_form(field.encode_name, raw, text.split(", got")[0])
    return Problem(code="BC2001", reason=reason, hint=hint, key=name)


def quoted(name: str, value: object) -> str:
    """Return the hint to put a single value in quotes; nothing for other values and secrets."""
    scalar = isinstance(value, bool | int | float) and not is_secret_name(name)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f'write {name} = "{text}"' if scalar else ""


def _other_form(name: str, value: object, wanted: str) -> str:
    if name == "content":
        return 'write text = "…" for what is not base64'
    if "`str" in wanted and name not in _EXAMPLES:
        return quoted(name, value)
    unquoted = isinstance(value, str) and re.fullmatch(r"-?\d+(?:\.\d+)?|true|false", value)
    if unquoted and re.search(r"`(?:int|float|bool)", wanted):
        return f"write {name} = {value}, without quotes"
    return f"write {name} = {_EXAMPLES[name]}" if name in _EXAMPLES else ""


def _literals(hint: Any) -> Iterator[tuple[str, ...]]:
    if get_origin(hint) is Literal:
        yield get_args(hint)
    else:
        for part in get_args(hint):
            yield from _literals(part)
