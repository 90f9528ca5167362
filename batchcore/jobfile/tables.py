"""Rows of text for a template: from CSV, TSV, JSON lines, a matrix, or a Python iterable."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from batchcore.errors import JobError, Problem, suggest
from batchcore.jobfile.text import failure, parse_json, read_text
from batchcore.jobfile.wording import kind_of

MAX_ROWS = 1_000_000
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")
_CODE = "BC2302"
_HUGE = 10**400  # far below the digits that Python refuses to write


class Table(Struct, frozen=True):
    """Named columns of text; `places` says for each row where it was written, if anywhere."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    places: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[dict[str, str]]:
        """Yield each row by column."""
        return (dict(zip(self.columns, row, strict=True)) for row in self.rows)


def read_table(path: Path) -> Table:
    """Return the rows of a ``.csv``, ``.tsv``, ``.jsonl`` or ``.ndjson`` file.

    Raises `JobError` (permanent) with every problem of the file and its line: no rows, a header
    that is empty or repeated, a row with too few or too many cells, a cell that is not a single
    value.
    """
    suffix = path.suffix.lower()
    if suffix not in (*_DELIMITERS, *_JSON_LINES):
        raise failure(
            _CODE,
            f"{path.name!r} is not a table that can be read",
            hint="give a .csv, .tsv, .jsonl or .ndjson file",
        )
    text = read_text(path, code=_CODE)
    if suffix in _DELIMITERS:
        return _read_csv(text, path, _DELIMITERS[suffix])
    return _read_json_lines(text, path)


def matrix_table(axes: object, key: str) -> Table:
    """Return every combination of the axes' values; the last axis changes fastest.

    Raises `JobError` (permanent) for an axis that is not a list of single values, and for more
    than 1,000,000 rows.
    """
    if not isinstance(axes, Mapping) or not axes:
        raise failure(
            _CODE, "a matrix is a table of lists", hint="write matrix = { seed = [1, 2] }", key=key
        )
    problems: list[Problem] = []
    for name, values in axes.items():
        place = f"{key}.{name}"
        if not isinstance(values, list | tuple) or not values:
            hint = f"write {name} = [1, 2]"
            problems.append(_problem(f"{name!r} is not a list of values", hint, key=place))
            continue
        problems += [
            _problem(*_not_a_cell(name, value), key=f"{place}[{index}]")
            for index, value in enumerate(values)
            if cell(value) is None
        ]
    size = 1
    for values in axes.values():
        size *= len(values) if isinstance(values, list | tuple) else 1
    if size > MAX_ROWS:
        hint = f"the limit is {MAX_ROWS:,}: make several jobs of it"
        problems.append(_problem(f"the matrix makes {size:,} tasks", hint, key=key))
    if problems:
        raise JobError(problems)
    texts = [[cell(value) or "" for value in values] for values in axes.values()]
    return Table(tuple(axes), tuple(itertools.product(*texts)))


def table_of(rows: Iterable[Mapping[str, object]]) -> Table:
    """Return a table of rows that Python already has; all rows have the same keys.

    Raises `JobError` (permanent) with the row, from 1, of each missing key and each value that is
    not a text, a number, true or false.
    """
    return _from_mappings([(f"row {number}", row) for number, row in enumerate(rows, start=1)])


def cell(value: object) -> str | None:
    """Return a value as text, the way JSON shows it; None where it is not a single value."""
    # A number of numpy or pandas knows its Python value.
    plain: Any = value.item() if getattr(value, "ndim", None) == 0 else value  # type: ignore[attr-defined]
    if isinstance(plain, str):
        return str(plain)
    if isinstance(plain, bool):
        return "true" if plain else "false"
    if isinstance(plain, int):
        return None if abs(plain) >= _HUGE else int.__repr__(plain)
    if isinstance(plain, float) and math.isfinite(plain):
        return float.__repr__(plain)
    return None


def _read_csv(text: str, path: Path, delimiter: str) -> Table:
    import csv
    import io

    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    records: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for record in reader:
            if record:
                records.append((line, record))
            line = reader.line_num + 1
    except csv.Error as exc:
        raise failure(
            _CODE, f"the table is not valid: {exc}", hint=_csv_hint(exc), file=f"{path}:{line}"
        ) from exc
    if not records:
        raise _no_rows(path, "a header row and one row for each task")
    first, header = records[0]
    problems = _header_problems(header, f"{path}:{first}")
    for line, record in records[1:]:
        if len(record) != len(header):
            reason = f"the row has {len(record)} cells and the header has {len(header)}"
            hint = "quote a cell that has a delimiter in it"
            problems.append(_problem(reason, hint, file=f"{path}:{line}"))
    if problems:
        raise JobError(problems)
    if len(records) == 1:
        raise _no_rows(path, "one row for each task below the header")
    return Table(
        tuple(header),
        tuple(tuple(record) for _, record in records[1:]),
        tuple(f"{path}:{line}" for line, _ in records[1:]),
    )


def _csv_hint(error: Exception) -> str:
    if "field limit" in str(error):
        return "write large values to files, and put their names into the table"
    return 'end each quoted cell with ", and write "" for a quote inside it'


def _header_problems(header: Sequence[str], place: str) -> list[Problem]:
    problems = []
    if any(not name.strip() for name in header):
        hint = "the first row names every column"
        problems.append(_problem("a column has no name", hint, file=place))
    for name in header:
        if name.strip() and name != name.strip():
            reason = f"the column {name!r} has spaces around its name"
            problems.append(_problem(reason, f"write {name.strip()}", file=place))
    for name, count in Counter(header).items():
        if count > 1 and name.strip():
            reason = f"the column {name!r} is there {count} times"
            problems.append(_problem(reason, "give each column a name of its own", file=place))
    if len(header) == 1 and (found := next((c for c in ";\t|" if c in header[0]), "")):
        reason = f"the cells are divided by {found!r}"
        hint = "divide them by commas, or by tabs in a .tsv file"
        problems.append(_problem(reason, hint, file=place))
    return problems


def _read_json_lines(text: str, path: Path) -> Table:
    rows: list[tuple[str, Mapping[str, object]]] = []
    problems: list[Problem] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            value = parse_json(line, path, line=number, code=_CODE)
        except JobError as exc:
            problems += exc.problems
            continue
        if isinstance(value, dict):
            rows.append((place, value))
        else:
            reason = f"the line is not an object but {kind_of(value)}"
            problems.append(_problem(reason, 'write {"column": "value"}', file=place))
    if problems:
        raise JobError(problems)
    if not rows:
        raise _no_rows(path, "one JSON object on a line for each task")
    return _from_mappings(rows)


def _from_mappings(rows: Sequence[tuple[str, Mapping[str, object]]]) -> Table:
    columns = tuple(dict.fromkeys(name for _, row in rows for name in row))
    problems: list[Problem] = []
    texts: list[tuple[str, ...]] = []
    for place, row in rows:
        cells: list[str] = []
        for name in columns:
            if name not in row:
                reason = f"the row has no {name!r}, and another row has"
                problems.append(_problem(reason, suggest(name, row), file=place))
            elif (text := cell(row[name])) is None:
                problems.append(_problem(*_not_a_cell(name, row[name]), file=place))
            else:
                cells.append(text)
        texts.append(tuple(cells))
    if problems:
        raise JobError(problems)
    return Table(columns, tuple(texts), tuple(place for place, _ in rows))


def _not_a_cell(name: str, value: object) -> tuple[str, str]:
    found = "not a finite number" if isinstance(value, float) else kind_of(value)
    if isinstance(value, int):
        found = "a number of hundreds of digits"
    return f"a value of {name!r} is {found}", "give a text, a number, true or false"


def _no_rows(path: Path, wanted: str) -> JobError:
    return failure(_CODE, "the table has no rows", hint=f"write {wanted}", file=str(path))


def _problem(reason: str, hint: str, *, file: str = "", key: str = "") -> Problem:
    return Problem(code=_CODE, reason=reason, hint=hint, file=file, key=key)
