"""A table or a matrix that makes no tasks, and a template that does not fit it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Check = Callable[..., None]

JOB = 'name = "j"\n[tasks]\ntable = "t.csv"\ncommand = ["true", "{seed}"]\n'

CSV: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    # the fault: the table, what the answer says
    "empty": ("", ("t.csv", "no rows", "a header row")),
    "a header alone": ("seed\n", ("t.csv", "no rows", "below the header")),
    "ragged rows": ("seed,x\n1\n2,3\n4,5,6\n", ("t.csv:2", "1 cells", "t.csv:4", "3 cells")),
    "a header twice": ("seed,seed\n1,2\n", ("t.csv:1", "'seed' is there 2 times")),
    "a column without name": ("seed,\n1,2\n", ("t.csv:1", "has no name")),
    "an open quote": ('seed\n"1\n2\n', ("t.csv:2", "end each quoted cell")),
    "a quote within": ('seed\n"1"x\n', ("t.csv:2", 'write "" for a quote')),
    "Latin-1": ("seed\né\n".encode("latin-1"), ("t.csv:2", "save it as UTF-8")),
    "UTF-16": ("seed\n1\n".encode("utf-16"), ("t.csv:1", "UTF-16")),
    "a NUL": ("seed\na\0\n", ("t.csv:2", "job.toml:4 tasks.command", "NUL")),
    "semicolons": ("seed;x\n1;2\n", ("t.csv:1", "divided by ';'", "by commas")),
    "another column": ("sead\n1\n", ("tasks.command[1]", "'seed'", 'did you mean "sead"?')),
    "a huge cell": ("seed\n" + "x" * 200_000, ("t.csv:2", "write large values to files")),
}


@pytest.mark.parametrize(("table", "words"), CSV.values(), ids=CSV)
def test_a_wrong_table(refused: Check, table: str | bytes, words: tuple[str, ...]) -> None:
    refused({"job.toml": JOB, "t.csv": table}, *words)


TEMPLATES: dict[str, tuple[str, tuple[str, ...]]] = {
    # the fault: a line of the template, what the answer says; the seeds are `a b` and `../c`
    "a bad id": ('id = "{seed}"', ("tasks.id", "'a b'", "t.csv:2 and 1 more", '"a-b"')),
    "an id for all": ('id = "x"', ("tasks[1].id", "'x' is taken")),
    "a path that leaves": ('outputs = ["{seed}"]', ("tasks.outputs[0]", "t.csv:3", '"c"')),
    "a text for a number": (
        'retries = "{seed}"',
        ("tasks.retries", "a whole number", "retries = 3"),
    ),
    "a shell line": ('shell = "x {seed}"', ("tasks.shell", '"$SEED" in shell')),
    "a lone brace": ('env.A = "{"', ("tasks.env.A", "write {{ and }}")),
    "a format": ('env.A = "{seed:>3}"', ("tasks.env.A", "'{seed:>3}'", "write {{ and }}")),
    "a matrix too": ("matrix.a = [1]", ("job.toml:2 tasks", "both a table and a matrix")),
}


@pytest.mark.parametrize(("line", "words"), TEMPLATES.values(), ids=TEMPLATES)
def test_a_wrong_template(refused: Check, line: str, words: tuple[str, ...]) -> None:
    job = 'name = "j"\n[tasks]\ntable = "t.csv"\n' + line
    refused({"job.toml": job, "t.csv": "seed\na b\n../c\n"}, *words)


ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    # the fault: the rows of [tasks], what the answer says
    "an empty matrix": ("matrix = {}", ("tasks.matrix", "seed = [1, 2]")),
    "an axis of nothing": ("matrix.a = []", ("tasks.matrix.a", "write a = [1, 2]")),
    "an axis of NaN": ("matrix.a = [nan]", ("tasks.matrix.a[0]", "not a finite number")),
    "an axis of lists": ("matrix.a = [[1]]", ("tasks.matrix.a[0]", "is a list")),
    "a huge number": ("matrix.a = [0x" + "f" * 5_000 + "]", ("tasks.matrix.a[0]", "digits")),
    "over a million": (
        f"matrix = {{ a = {list(range(1001))}, b = {list(range(1001))} }}",
        ("tasks.matrix", "1,002,001 tasks", "the limit is 1,000,000"),
    ),
    "a misspelt matrix": ("matrx.a = [1]", ("tasks.matrx", 'did you mean "matrix"?')),
    "no rows": ("", ("job.toml:2 tasks", 'table = "tasks.csv"')),
    "a table that is not there": ('table = "no.csv"', ("tasks.table", "'no.csv'")),
    "a directory": ('table = "d.csv"', ("tasks.table", "'d.csv' is a directory")),
    "an address": ('table = "https://x/t.csv"', ("tasks.table", "is an address", "fetch it")),
    "a workbook": ('table = "t.xlsx"', ("tasks.table", "give a .csv")),
}


@pytest.mark.parametrize(("line", "words"), ROWS.values(), ids=ROWS)
def test_wrong_rows(refused: Check, line: str, words: tuple[str, ...]) -> None:
    job = f'name = "j"\n[tasks]\ncommand = ["true"]\n{line}'
    refused({"job.toml": job, "d.csv/x": ""}, *words)


LINES: dict[str, tuple[str, tuple[str, ...]]] = {
    # the fault: the JSON lines, what the answer says
    "two broken lines": ('{"seed": 1}\n{"seed":}\n[1]', ("t.jsonl:2:9", "t.jsonl:3", "a list")),
    "a key too few": ('{"seed": 1}\n{"sead": 1}', ("t.jsonl:2", "no 'seed'", '"sead"')),
    "NaN": ('{"seed": NaN}', ("t.jsonl:1", "NaN is not a number")),
    "half a character": (r'{"seed": "\ud800"}', ("t.jsonl:1", "half a character")),
    "100,000 lists": ('{"seed": ' + "[" * 100_000, ("t.jsonl:1", "nested too deeply")),
}


@pytest.mark.parametrize(("rows", "words"), LINES.values(), ids=LINES)
def test_wrong_json_lines(refused: Check, rows: str, words: tuple[str, ...]) -> None:
    refused({"job.toml": JOB.replace("t.csv", "t.jsonl"), "t.jsonl": rows}, *words)
