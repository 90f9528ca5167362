"""The page about parity says what the backends declare, and has a line for each test of the kit."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from batchcore.plugins import Plugins

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import parity  # noqa: E402 - a script, found by its directory

REPORT = """
<testsuites><testsuite>
  <testcase name="test_a"/>
  <testcase name="test_b[1]"/><testcase name="test_b[2]"/>
  <testcase name="test_b[3]"><skipped/></testcase>
  <testcase name="test_c"><skipped/></testcase>
  <testcase name="test_d[1]"/><testcase name="test_d[2]"><failure/></testcase>
  <testcase name="test_e"><error/></testcase>
</testsuite></testsuites>
"""


def text() -> str:
    return parity.PAGE.read_text(encoding="utf-8")


def test_what_is_declared_is_what_the_page_says() -> None:
    plugins = Plugins()
    assert parity.declared({name: plugins.spec(name) for name in parity.SUITES}) in text()


def test_every_test_of_the_kit_has_its_line() -> None:
    said = re.findall(r"^\| (.+?) \|", text().partition(parity.FOUND)[2], re.MULTILINE)
    lines = [line for line in said if line not in {"promise", "---"}]
    assert lines == [parity.sentence(test) for _, tests in parity.groups() for test in tests]


def test_no_promise_is_said_to_be_broken() -> None:
    found = text().partition(parity.FOUND)[2]
    assert re.findall(r"\| (no|\?) \|", found) == []


def test_a_run_that_writes_no_report_is_told(monkeypatch) -> None:
    monkeypatch.setattr(parity.sys, "executable", "true")
    with pytest.raises(SystemExit, match=r"a/suite\.py: pytest ended with 0 and wrote no report"):
        parity.run("a/suite.py")


def test_a_page_is_written_only_of_promises_that_were_kept(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(parity, "PAGE", tmp_path / "parity.md")
    monkeypatch.setattr(parity, "run", lambda suite: {"test_a": "no" if "azure" in suite else "-"})
    with pytest.raises(SystemExit, match="the kit failed on azure"):
        parity.main()
    assert not parity.PAGE.exists()


def test_every_suite_is_there() -> None:
    assert [suite for suite in parity.SUITES.values() if not (ROOT / suite).exists()] == []


@pytest.mark.parametrize(
    ("test", "outcome"),
    [("test_a", "yes"), ("test_b", "yes (2)"), ("test_c", "-"), ("test_d", "no"), ("test_e", "no")],
)
def test_a_test_is_as_good_as_the_worst_way_in_which_it_was_tried(tmp_path, test, outcome) -> None:
    (tmp_path / "report.xml").write_text(REPORT)
    assert parity.outcomes(tmp_path / "report.xml")[test] == outcome
