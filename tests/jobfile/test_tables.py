"""Rows from CSV, TSV, JSON lines, a matrix and Python."""

from pathlib import Path

import pytest

from batchcore.errors import JobError
from batchcore.jobfile.tables import Table, matrix_table, read_table, table_of


def read(folder: Path, name: str, content: str | bytes) -> Table:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "seed,word\n1,a b\n12,\n"),
        ("t.csv", 'seed,word\r\n1,"a b"\r\n12,""\r\n'),
        ("t.csv", b"\xef\xbb\xbfseed,word\n1,a b\n12,"),
        ("t.csv", "seed,word\n\n1,a b\n\n12,\n\n"),
        ("T.CSV", "seed,word\n1,a b\n12,\n"),
        ("t.tsv", "seed\tword\n1\ta b\n12\t\n"),
        ("t.jsonl", '{"seed": 1, "word": "a b"}\n{"word": "", "seed": "12"}\n'),
        ("t.ndjson", b'\xef\xbb\xbf{"seed":1,"word":"a b"}\r\n\r\n{"seed":12,"word":""}'),
    ],
)
def test_every_kind_of_table_gives_the_same_rows(tmp_path: Path, name: str, content: str) -> None:
    table = read(tmp_path, name, content)
    assert table.columns == ("seed", "word")
    assert table.rows == (("1", "a b"), ("12", ""))


def test_a_row_knows_the_line_where_it_starts(tmp_path: Path) -> None:
    table = read(tmp_path, "t.csv", 'a,b\n\n1,"two\nlines"\n3,4\n')
    assert [place.rsplit(":", 1)[-1] for place in table.places] == ["3", "5"]


def test_json_values_are_written_the_way_json_shows_them(tmp_path: Path) -> None:
    line = '{"a": true, "b": false, "c": 1, "d": 1.5, "e": 2.0, "f": "ü{x}"}'
    assert read(tmp_path, "t.jsonl", line).rows == (("true", "false", "1", "1.5", "2.0", "ü{x}"),)


@pytest.mark.parametrize(
    ("name", "content", "line", "part"),
    [
        ("t.csv", "", "", "no rows"),
        ("t.csv", "\n\n", "", "no rows"),
        ("t.csv", "a,b\n", "", "no rows"),
        ("t.csv", "a,a\n1,2\n", ":1", "'a' is there 2 times"),
        ("t.csv", "a,\n1,2\n", ":1", "no name"),
        ("t.csv", "a, b\n1,2\n", ":1", "spaces around"),
        ("t.csv", "a;b\n1;2\n", ":1", "divided by ';'"),
        ("t.csv", "a,b\n1,2\n1\n", ":3", "1 cells and the header has 2"),
        ("t.csv", "a,b\n1,2,3\n", ":2", "3 cells and the header has 2"),
        ("t.csv", 'a,b\n1,2\n"1,2\n', ":3", "not valid"),
        ("t.csv", b"a,b\n1,\xff\n", ":2", "not UTF-8"),
        ("t.jsonl", "\n", "", "no rows"),
        ("t.jsonl", '{"a": 1}\n{"a": }\n', ":2:7", "not valid"),
        ("t.jsonl", '{"a": 1, "a": 2}\n', ":1", "'a' is there twice"),
        ("t.jsonl", '{"a": NaN}\n', ":1", "NaN"),
        ("t.jsonl", "[1]\n", ":1", "not an object but a list"),
        ("t.jsonl", '{"a": 1}\n{"b": 1}\n', ":1", "no 'b'"),
        ("t.jsonl", '{"a": [1]}\n', ":1", "'a' is a list"),
        ("t.jsonl", '{"a": {"b": 1}}\n', ":1", "'a' is a table"),
        ("t.jsonl", '{"a": null}\n', ":1", "'a' is null"),
        ("t.xlsx", "", "", "not a table"),
    ],
)
def test_a_broken_table_is_refused_with_its_file_and_line(
    tmp_path: Path, name: str, content: str | bytes, line: str, part: str
) -> None:
    with pytest.raises(JobError) as caught:
        read(tmp_path, name, content)
    problem = caught.value.problems[0]
    assert problem.code == "BC2302"
    assert part in problem.reason
    assert problem.file == ("" if name == "t.xlsx" else f"{tmp_path / name}{line}")


def test_every_broken_row_is_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(JobError) as caught:
        read(tmp_path, "t.csv", "a,b\n1\n1,2\n3\n")
    assert [p.file[-2:] for p in caught.value.problems] == [":2", ":4"]


def test_a_missing_table_names_a_near_file(tmp_path: Path) -> None:
    (tmp_path / "tasks.csv").write_text("a\n1\n")
    with pytest.raises(JobError, match=r"did you mean .*tasks\.csv"):
        read_table(tmp_path / "task.csv")


def test_a_matrix_is_every_combination_in_the_written_order() -> None:
    table = matrix_table({"seed": [1, 12], "power": [2, "x"]}, "matrix")
    assert table.columns == ("seed", "power")
    assert table.rows == (("1", "2"), ("1", "x"), ("12", "2"), ("12", "x"))


@pytest.mark.parametrize(
    ("axes", "key", "part"),
    [
        ([], "matrix", "table of lists"),
        ({}, "matrix", "table of lists"),
        ({"seed": 1}, "matrix.seed", "not a list"),
        ({"seed": []}, "matrix.seed", "not a list"),
        ({"seed": [1, [2]]}, "matrix.seed[1]", "a list"),
        ({"seed": [float("nan")]}, "matrix.seed[0]", "not a finite number"),
        ({"a": [0] * 1001, "b": [0] * 1000}, "matrix", "1,001,000 tasks"),
    ],
)
def test_a_broken_matrix_is_refused_with_its_key(axes: object, key: str, part: str) -> None:
    with pytest.raises(JobError) as caught:
        matrix_table(axes, "matrix")
    (problem,) = caught.value.problems
    assert (problem.code, problem.key) == ("BC2302", key)
    assert part in problem.reason


def test_a_row_of_python_that_lacks_a_key_is_named_by_its_number() -> None:
    with pytest.raises(JobError, match="row 2"):
        table_of([{"seed": 1}, {"sed": 1}])


def test_numbers_of_numpy_count_as_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    rows = [{"a": numpy.int64(3), "b": numpy.float64(0.5), "c": numpy.bool_(True)}]
    assert table_of(rows).rows == (("3", "0.5", "true"),)
