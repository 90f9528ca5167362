"""The kit is tested too: each way to break the contract is caught by the test that names it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

WRONG = Path(__file__).parent / "wrong"
sys.path.insert(0, str(WRONG))

import backends  # noqa: E402 - a module beside the suites, found by its directory

Outcomes = Mapping[tuple[str, str], Sequence[str]]
CASES = [(backend.__name__, backend.caught_by) for backend in backends.WRONG]
SEEN = [(b.__name__, b.caught_by) for b in backends.WRONG if not b.by_waiting]
KEPT = sorted({test for _, test in CASES} - {backends.DeclaresWhatItCannot.caught_by})
WAITED = "\nhappened: not within "


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """The messages of the failures of each class and test; an empty one for a test that passed."""
    report = tmp_path_factory.mktemp("wrong") / "report.xml"
    wanted = [f"Test{name}::{test}" for name, test in CASES]
    wanted += [f"TestRight::{test}" for test in KEPT]
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
    found: dict[tuple[str, str], list[str]] = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest has just written it
        owner, test = case.attrib["classname"].rpartition(".")[2], case.attrib["name"]
        bad = [child for child in case if child.tag in {"failure", "error"}]
        text = "\n".join(_said(child) for child in bad)
        skipped = any(child.tag == "skipped" for child in case)
        told = found.setdefault((owner, test.partition("[")[0]), [])
        told.append("skipped" if skipped else text)
    return found


def _said(failure: ET.Element) -> str:
    """Return what pytest shows of an error, without the source around it."""
    lines = (failure.text or "").splitlines()
    return "\n".join(line[1:].strip() for line in lines if line.startswith("E "))


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "test"), CASES, ids=[name for name, _ in CASES])
def test_a_broken_promise_is_caught_by_the_test_that_names_it(outcomes, name, test):
    assert any(outcomes[f"Test{name}", test]), f"{test} lets {name} pass"
    assert "skipped" not in outcomes[f"Test{name}", test]


@pytest.mark.parametrize(("name", "test"), SEEN, ids=[name for name, _ in SEEN])
def test_what_can_be_seen_is_not_caught_by_waiting(outcomes, name, test):
    assert [text for text in outcomes[f"Test{name}", test] if WAITED in text] == []


@pytest.mark.parametrize("test", KEPT)
def test_a_promise_that_is_kept_is_not(outcomes, test):
    assert set(outcomes["TestRight", test]) == {""}


@pytest.mark.parametrize(("name", "test"), CASES, ids=[name for name, _ in CASES])
def test_the_message_says_what_the_contract_says(outcomes, name, test):
    text = "\n".join(outcomes[f"Test{name}", test])
    said_by_the_guard = "this is a bug: the backend 'wrong' of demo-wrong"
    assert "contract:" in text or said_by_the_guard in text, text
