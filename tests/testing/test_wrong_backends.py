"""The kit is tested too: each way to break the contract is caught by the test that names it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

WRONG = Path(__file__).parent / "wrong"
sys.path.insert(0, str(WRONG))

import backends  # noqa: E402 - a module beside the suites, found by its directory

Outcomes = Mapping[tuple[str, str], Sequence[str]]
CASES = [(backend.__name__, backend.caught_by) for backend in backends.WRONG]


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """The messages of the failures of each class and test; an empty one for a test that passed."""
    report = tmp_path_factory.mktemp("wrong") / "report.xml"
    wanted = [f"Test{name}::{test}" for name, test in CASES]
    wanted += [f"TestRight::{test}" for test in sorted({test for _, test in CASES})]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            f"--junitxml={report}",
            *(f"{WRONG / 'suites.py'}::{node}" for node in wanted),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(WRONG), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.exists(), done.stdout + done.stderr
    found = defaultdict(list)
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest has just written it
        owner, test = case.attrib["classname"].rpartition(".")[2], case.attrib["name"]
        bad = [child for child in case if child.tag in {"failure", "error"}]
        text = "\n".join(child.attrib["message"] for child in bad) if bad else ""
        skipped = any(child.tag == "skipped" for child in case)
        found[owner, test.partition("[")[0]].append("skipped" if skipped else text)
    return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "test"), CASES, ids=[name for name, _ in CASES])
def test_a_broken_promise_is_caught_by_the_test_that_names_it(outcomes, name, test):
    assert any(outcomes[f"Test{name}", test]), f"{test} lets {name} pass"
    assert "skipped" not in outcomes[f"Test{name}", test]


@pytest.mark.parametrize("test", sorted({test for _, test in CASES} - {CASES[-1][1]}))
def test_a_promise_that_is_kept_is_not(outcomes, test):
    assert [text for text in outcomes["TestRight", test] if text] == []


@pytest.mark.parametrize(("name", "test"), CASES, ids=[name for name, _ in CASES])
def test_the_message_says_what_the_contract_says(outcomes, name, test):
    text = "\n".join(outcomes[f"Test{name}", test])
    said_by_the_guard = "this is a bug: the backend 'wrong' of demo-wrong"
    assert "contract:" in text or said_by_the_guard in text, text
