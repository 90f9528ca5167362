"""The page about guarantees names tests that exist: for every promise, fault and backend."""

from __future__ import annotations

import ast
import re
import sys
from functools import cache
from pathlib import Path

import pytest

from batchcore.plugins import FIRST_PARTY

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import faults  # noqa: E402 - a script, found by its directory

PAGE = faults.PAGE.read_text(encoding="utf-8")
ROWS = [row for _, row in faults.rows(PAGE)]
FOR_TESTS = {"memory", "fault"}
PROMISES = re.split(r"^### ", PAGE.split("\n## ")[1], flags=re.MULTILINE)[1:]
REPORT = """
<testsuites><testsuite>
  <testcase classname="tests.test_a" name="test_alone"/>
  <testcase classname="tests.test_a" name="test_bad"><failure/></testcase>
  <testcase classname="tests.test_a" name="test_bad_at_the_end"><error/></testcase>
  <testcase classname="tests.test_a" name="test_left_out"><skipped/></testcase>
  <testcase classname="tests.test_a" name="test_ways[1]"/>
  <testcase classname="tests.test_a" name="test_ways[2]"/>
  <testcase classname="tests.test_a" name="test_on[local-process-1]"/>
  <testcase classname="tests.test_a" name="test_on[local-docker-1]"><failure/></testcase>
  <testcase classname="backends.azure.tests.test_conformance.TestAzure" name="test_kit"/>
</testsuite></testsuites>
"""


@cache
def named_in(file: str) -> set[str]:
    """Return what a file calls a test: functions, those of classes too, and names of classes."""
    nodes = list(ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))))
    functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    named = (target for node in nodes if isinstance(node, ast.Assign) for target in node.targets)
    return functions | {name.id for name in named if isinstance(name, ast.Name)}


def words(row: faults.Row) -> str:
    return row.fault


def test_every_test_that_is_named_is_there() -> None:
    named = faults.tests_of(PAGE)
    assert [test for test in named if test.function not in named_in(test.file)] == []
    assert len(named) > len(ROWS) + len(PROMISES)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda text: text.partition("\n")[0])
def test_a_promise_says_what_it_holds_under_and_names_a_test(promise: str) -> None:
    assert re.search(r"^- Holds under: \w+", promise, re.MULTILINE)
    assert faults.tests_of(promise)


@pytest.mark.parametrize("row", ROWS, ids=words)
def test_a_fault_names_a_test_or_a_reason_for_every_backend(row: faults.Row) -> None:
    assert row.seen
    for cell in row.cells:
        reason = re.match(rf"(?:{faults.SPARED}|{faults.AS}[\w-]+`): \w+", cell)
        assert bool(reason) != bool(faults.tests_of(cell)), cell


@pytest.mark.parametrize("row", ROWS, ids=words)
def test_what_is_as_elsewhere_is_shown_there(row: faults.Row) -> None:
    others = re.findall(rf"{faults.AS}([\w-]+)`", " ".join(row.cells))
    cells = dict(zip(faults.SUITES, row.cells, strict=True))
    assert all(faults.tests_of(cells[other]) for other in others)


def test_every_line_of_the_tables_is_read() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")]
    heads = [line for line in lines if line.startswith(("| fault", "| ---"))]
    assert len(ROWS) == len(lines) - len(heads)
    assert len({row.fault for row in ROWS}) == len(ROWS)


def test_the_backends_are_those_of_this_project_and_their_suites_are_there() -> None:
    assert set(faults.SUITES) == set(FIRST_PARTY) - FOR_TESTS
    for suite in faults.SUITES.values():
        file, _, name = suite.partition("::")
        assert f"class {name}(" in (ROOT / file).read_text()


def result(cell: str, tmp_path: Path, backend: str = "local-process") -> str:
    """Return what came of a cell that all backends have, going by the report above."""
    (tmp_path / "report.xml").write_text(REPORT)
    found = faults.outcomes(tmp_path / "report.xml")
    return faults.result(faults.Row("f", "s", (cell,) * len(faults.SUITES)), backend, found)


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("[alone](../tests/test_a.py)", "passed (1)"),
        ("[alone](../tests/test_a.py); [ways](../tests/test_a.py)", "passed (3)"),
        ("[alone](../tests/test_a.py); [bad](../tests/test_a.py)", "failed"),
        ("[bad at the end](../tests/test_a.py)", "failed"),
        ("[left out](../tests/test_a.py)", "skipped"),
        ("[that nobody ran](../tests/test_a.py)", "not run"),
        ("does not apply: nothing to break", "does not apply"),
    ],
)
def test_a_cell_is_as_good_as_the_worst_of_its_tests(cell, told, tmp_path) -> None:
    assert result(cell, tmp_path) == told


@pytest.mark.parametrize(
    ("backend", "told"),
    [("local-process", "passed (1)"), ("local-docker", "failed"), ("azure", "not run")],
)
def test_of_a_test_for_several_backends_the_one_s_counts(backend, told, tmp_path) -> None:
    assert result("[on](../tests/test_a.py)", tmp_path, backend) == told


def test_a_test_of_the_kit_is_run_on_the_backend(tmp_path) -> None:
    cell = "[kit](../batchcore/testing/conformance/a.py)"
    assert result(cell, tmp_path, "azure") == "passed (1)"
    assert result(cell, tmp_path, "local-docker") == "not run"


def test_what_is_as_elsewhere_is_as_good_as_there() -> None:
    row = faults.Row("f", "s", ("[a](../tests/test_a.py)", "as `local-process`: the same", ""))
    found = {"tests.test_a.test_a": {"": "failed"}}
    assert faults.result(row, "local-docker", found) == "failed"
