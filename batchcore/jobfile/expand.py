"""One task for each row: a template of a task, filled in from the columns of a table."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import fields, replace

from batchcore.credentials import MASK, is_secret
from batchcore.errors import JobError, Problem
from batchcore.jobfile.build import build
from batchcore.jobfile.tables import Table, table_of
from batchcore.jobfile.template import ROW_NUMBER, Parts, neutral, parse, references, render
from batchcore.jobfile.wording import inside, unknown_key
from batchcore.model import Task

# No text can name this column, so that one called `n` leaves the default id alone.
_COUNT = "#"
_DEFAULT_ID = ("task-", _COUNT, "")
_LIST_HINT = 'write the command as a list of words, or shell = "…" with values from env'
_MAX_BAD_ROWS = 100


class _Text(Struct, frozen=True):
    parts: Parts


def tasks_from_rows(
    template: Mapping[str, object], rows: Iterable[Mapping[str, object]]
) -> list[Task]:
    """Return one task for each row, as ``[tasks] table = …`` does in a job file.

    `template` has the fields of a `Task`, and `{column}` is replaced in every text of it;
    ``{{`` and ``}}`` are braces, `{n}` is the number of the row, from 1, unless there is a column
    of that name. `id` defaults to ``task-{n}``. A `command` given as one line is split into words
    first, so a value with spaces stays one word. `shell` takes no columns: pass values by `env`.
    Values may be texts, numbers and flags, which are written the way JSON shows them; all rows
    have the same keys. No rows give no tasks.

    Raises `JobError` (permanent) with every problem found.
    """
    table = table_of(rows)
    if not table.rows:
        return []
    problems: list[Problem] = []
    try:
        raw = msgspec.to_builtins(template, enc_hook=_plain)
    except TypeError as exc:
        raise JobError.of("BC2001", f"the template is not plain data: {exc}") from exc
    tasks = expand(raw, table, "", problems)
    if problems:
        raise JobError(problems)
    return tasks


def expand(raw: Mapping[str, Any], table: Table, key: str, problems: list[Problem]) -> list[Task]:
    """Return the tasks of a template; what is wrong goes into `problems`, each thing once."""
    compiled = _compile_task(raw, table.columns, key, problems)
    compiled.setdefault("id", _Text(_DEFAULT_ID))
    tasks: list[Task] = []
    bad: list[tuple[str, list[Problem]]] = []
    for number, row in enumerate(table, start=1):
        values = {ROW_NUMBER: str(number), **row, _COUNT: str(number)}
        found: list[Problem] = []
        task = build(Task, _fill(compiled, values), key, found, lax=True)
        if task is not None:
            tasks.append(task)
        else:
            bad.append((_row_name(table, number, row), found))
            if len(bad) == _MAX_BAD_ROWS:
                break
    problems += _once(bad, complete=len(bad) < _MAX_BAD_ROWS, rows=len(table.rows))
    return tasks


def outside_problems(raw: Mapping[str, Any], columns: Collection[str]) -> list[Problem]:
    """Return a problem for each ``{column}`` outside the template, where it would stay as it is."""
    return [
        _shell_problem(key, names)
        if key == "shell"
        else Problem(
            code="BC2302",
            reason=f"{{{names[0]}}} stands outside [tasks], where no column is replaced",
            hint=f"move {key.split('.')[0].split('[')[0]} into [tasks]",
            key=key,
        )
        for key, text in _texts(raw, "")
        if (names := references(text, columns))
    ]


def _compile_task(
    raw: Mapping[str, Any], columns: Collection[str], key: str, problems: list[Problem]
) -> dict[str, Any]:
    """Cut every text at its columns; a field with a problem is left out, to go on without it."""
    known = [field.encode_name for field in fields(Task)]
    compiled: dict[str, Any] = {}
    for name, value in raw.items():
        place = inside(key, name)
        found: list[Problem] = []
        if name not in known:
            found.append(unknown_key(name, Task, key, known))
        elif name == "shell":
            names = references(str(value), [*columns, ROW_NUMBER])
            found += [_shell_problem(place, names)] if names else []
            compiled[name] = value
        else:
            if name == "command" and isinstance(value, str):
                value = _words(value, place, found)  # noqa: PLW2901 - the same value, as a list
            compiled[name] = _compile(value, columns, place, found)
        if found:
            compiled.pop(name, None)
            problems += found
    return compiled


def _compile(value: Any, columns: Collection[str], key: str, problems: list[Problem]) -> Any:
    if isinstance(value, str):
        parts = parse(value, columns, key, problems)
        return parts[0] if len(parts) == 1 else _Text(parts)
    if isinstance(value, dict):
        return {k: _compile(v, columns, f"{key}.{k}", problems) for k, v in value.items()}
    if isinstance(value, list):
        return [_compile(v, columns, f"{key}[{i}]", problems) for i, v in enumerate(value)]
    return value


def _fill(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, _Text):
        return render(value.parts, values)
    if isinstance(value, dict):
        return {key: _fill(inner, values) for key, inner in value.items()}
    if isinstance(value, list):
        return [_fill(inner, values) for inner in value]
    return value


def _words(line: str, key: str, problems: list[Problem]) -> list[str]:
    """Split a command before anything is filled in, refusing what would need a shell."""
    plain = neutral(line)
    try:
        Task("task", command=plain)
    except JobError as exc:
        problems += [
            replace(p, key=key, reason=p.reason.replace(repr(plain), repr(line)), hint=_LIST_HINT)
            for p in exc.problems
        ]
        return []
    return shlex.split(line)


def _shell_problem(key: str, names: list[str]) -> Problem:
    name = names[0]
    variable = name.upper()
    return Problem(
        code="BC2302",
        reason=f"{{{name}}} is not replaced in a shell line: a value could be run as a command",
        hint=f'write env = {{ {variable} = "{{{name}}}" }} in [tasks] and "${variable}" in shell',
        key=key,
    )


def _once(bad: list[tuple[str, list[Problem]]], *, complete: bool, rows: int) -> Iterator[Problem]:
    """Yield each problem of the rows once, with the first row that has it and how many more."""
    grouped: dict[tuple[str, str], list[tuple[str, Problem]]] = {}
    for row, found in bad:
        for problem in found:
            grouped.setdefault((problem.code, problem.key), []).append((row, problem))
    for group in grouped.values():
        row, problem = group[0]
        if len(group) == rows and len({p.reason for _, p in group}) == 1 and rows > 1:
            yield problem
            continue
        more = len(group) - 1
        others = f" and {'' if complete else 'at least '}{more} more" if more else ""
        yield replace(problem, reason=f"{problem.reason} ({row}{others})")


def _row_name(table: Table, number: int, row: Mapping[str, str]) -> str:
    if table.places:
        return table.places[number - 1]
    shown = {n: MASK if is_secret((n,), value) else value for n, value in row.items()}
    return f"row {number}: " + ", ".join(f"{n} = {value}" for n, value in shown.items())[:80]


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(inner, f"{key}[{index}]")


def _plain(value: object) -> str:
    if isinstance(value, PurePath):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} has no form in a job file")
