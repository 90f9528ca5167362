"""A job described by plain data: the content of a TOML or JSON job file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from msgspec.structs import fields, replace

from batchcore.errors import JobError, Problem
from batchcore.jobfile.build import build
from batchcore.jobfile.credentials import option_problems
from batchcore.jobfile.expand import expand, outside_problems
from batchcore.jobfile.lines import key_lines, line_of
from batchcore.jobfile.tables import Table, matrix_table, read_table
from batchcore.jobfile.text import failure, parse_json, parse_toml, read_text
from batchcore.jobfile.wording import inside, kind_of, unknown_key
from batchcore.model import Job, Task

SCHEMA = 1
_ROWS = ("table", "matrix")
# Editors look for `$schema`, the place of the JSON Schema.
_ABOUT_THE_FILE = ("schema", "$schema")


def read_job(path: Path) -> Job:
    """Return the job that a TOML or JSON file describes.

    Raises `JobError` (permanent) with every problem of the file, each with its key and, in TOML,
    its line.
    """
    text = read_text(path, code="BC2300")
    toml = path.suffix.lower() == ".toml"
    raw = parse_toml(text, path) if toml else parse_json(text, path)
    if not isinstance(raw, dict):
        reason = f"a job file is an object, not {kind_of(raw)}"
        raise JobError([Problem(code="BC2300", reason=reason, file=str(path))])
    try:
        return job_from_data(raw, base=path.parent)
    except JobError as exc:
        raise JobError(_placed(exc.problems, path, key_lines(text) if toml else {})) from exc
    except RecursionError as exc:
        raise failure("BC2300", "the file is nested too deeply", file=str(path)) from exc


def job_from_data(raw: dict[str, Any], *, base: Path) -> Job:
    """Return the job that the content of a job file describes; tables start at `base`.

    Raises `JobError` (permanent) with every problem found and its key.
    """
    rest = {key: value for key, value in raw.items() if key not in _ABOUT_THE_FILE}
    problems = _schema_problems(raw.get("schema", SCHEMA))
    tasks: list[Task] | None = None
    if isinstance(raw.get("tasks"), dict):
        tasks = _from_template(rest.pop("tasks"), rest, base, problems)
    problems += option_problems(raw.get("backend"))
    job = build(Job, rest, "", problems)
    if job is None or problems:
        raise JobError(problems)
    return job if tasks is None else replace(job, tasks=tasks)


def _from_template(
    raw: dict[str, Any], rest: dict[str, Any], base: Path, problems: list[Problem]
) -> list[Task]:
    template = {key: value for key, value in raw.items() if key not in _ROWS}
    known = [field.encode_name for field in fields(Task)]
    for name in [name for name in template if name not in known]:
        problems.append(unknown_key(name, Task, "tasks", [*_ROWS, *known]))
        del template[name]
    try:
        table = _rows(raw, base)
    except JobError as exc:
        problems += exc.problems
        return []
    problems += outside_problems(rest, table.columns)
    return expand(template, table, "tasks", problems)


def _rows(raw: dict[str, Any], base: Path) -> Table:
    given = [name for name in _ROWS if name in raw]
    if len(given) != 1:
        raise JobError.of(
            "BC2202",
            "[tasks] has both a table and a matrix" if given else "[tasks] says no rows",
            hint='write table = "tasks.csv", or matrix = { seed = [1, 2] };'
            " tasks without a template are written as [[tasks]]",
            key="tasks",
        )
    if given == ["matrix"]:
        return matrix_table(raw["matrix"], "tasks.matrix")
    name = raw["table"]
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise JobError.of(
            "BC2001",
            f"table must be the name of a file, not {kind_of(name)}",
            hint='write table = "tasks.csv"',
            key="tasks.table",
        )
    if "://" in name:
        raise failure(
            "BC2302",
            f"{name!r} is an address, and a table is a file of this machine",
            hint='fetch it first, and write table = "tasks.csv"',
            key="tasks.table",
        )
    try:
        return read_table(base / name)
    except JobError as exc:
        raise JobError(
            [p if p.file else replace(p, key=inside("tasks.table", p.key)) for p in exc.problems]
        ) from exc


def _schema_problems(value: object) -> list[Problem]:
    if isinstance(value, int) and not isinstance(value, bool) and value == SCHEMA:
        return []
    reason = "this version of batchcore reads job files of schema 1"
    return [Problem(code="BC2301", reason=reason, hint="write schema = 1", key="schema")]


def _placed(problems: Iterable[Problem], path: Path, lines: dict[str, int]) -> list[Problem]:
    """Name the job file and the line where it is known, in order; other files keep the blame."""
    found = [(0 if p.file else line_of(p.key, lines) or 0, p) for p in problems]
    return [
        p if p.file else replace(p, file=f"{path}:{line}" if line else str(path))
        for line, p in sorted(found, key=lambda pair: pair[0])
    ]
