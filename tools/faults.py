"""Runs the tests that docs/guarantees.md names for its faults, and tells what came of each."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from msgspec import Struct

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/guarantees.md"
KIT = "batchcore/testing/conformance/"
SUITES = {
    "local-process": "tests/testing/test_conformance_local_process.py::TestLocalProcess",
    "local-docker": "backends/localdocker/tests/test_conformance.py::TestLocalDocker",
    "azure": "backends/azure/tests/test_conformance.py::TestAzure",
}
SPARED = "does not apply"
AS = "as `"
HEADS = {"fault", "---"}
LINK = re.compile(r"\[([^\]]+)\]\(\.\./([\w./-]+\.py)\)")

Outcomes = Mapping[str, Mapping[str, str]]
"""From the id of a test, without its parameters, to these, and from them to how it ended."""


class Test(Struct, frozen=True):
    """A test that the page names: a file from the root of the project, and a function in it."""

    file: str
    function: str

    def node(self, backend: str) -> str:
        """Return its id for pytest; a test of the kit is run on a backend."""
        where = SUITES[backend] if self.file.startswith(KIT) else self.file
        return f"{where}::{self.function}"


class Row(Struct, frozen=True):
    """A fault of the page: its name, what is seen of it, and a cell for each backend."""

    fault: str
    seen: str
    cells: tuple[str, ...]


def tests_of(text: str) -> list[Test]:
    """Return the tests to which a text links: each is called by its words."""
    return [Test(file, "test_" + words.replace(" ", "_")) for words, file in LINK.findall(text)]


def rows(page: str) -> Iterator[tuple[str, Row]]:
    """Yield the faults of a page, each with what it befalls."""
    heading = ""
    for line in page.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == 2 + len(SUITES) and cells[0] not in HEADS:
            yield heading, Row(cells[0], cells[1], tuple(cells[2:]))


def nodes(found: Sequence[Row]) -> list[str]:
    """Return the ids of all tests that the rows name, each once."""
    named = (
        test.node(backend)
        for row in found
        for backend, cell in zip(SUITES, row.cells, strict=True)
        for test in tests_of(cell)
    )
    return list(dict.fromkeys(named))


def run(ids: Sequence[str]) -> Outcomes:
    """Run the tests, and return what came of them; none may be left out for want of a part."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        # The newer family of reports has no place for what a test records.
        options = ["-q", "-o", "junit_family=xunit1", f"--junitxml={report}"]
        command = [sys.executable, "-m", "pytest", *options, *ids]
        needing_all = {**os.environ, "BATCHCORE_REQUIRE": "all"}
        done = subprocess.run(command, cwd=ROOT, env=needing_all, check=False, stdout=sys.stderr)
        if not report.exists():
            sys.exit(f"pytest ended with {done.returncode} and wrote no report")
        return outcomes(report)


def outcomes(report: Path) -> Outcomes:
    """Read a report of pytest."""
    found: dict[str, dict[str, str]] = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest has just written it
        function, _, parameters = case.attrib["name"].partition("[")
        kinds = {child.tag for child in case}
        bad = "failed" if kinds & {"failure", "error"} else "skipped"
        ended = bad if kinds & {"failure", "error", "skipped"} else "passed"
        ways = found.setdefault(f"{case.attrib['classname']}.{function}", {})
        ways[parameters.rstrip("]")] = ended
    return found


def result(row: Row, backend: str, all_outcomes: Outcomes) -> str:
    """Return what came of a fault on a backend."""
    cell = row.cells[list(SUITES).index(backend)]
    if cell.startswith(SPARED):
        return SPARED
    if cell.startswith(AS):
        return result(row, cell.removeprefix(AS).partition("`")[0], all_outcomes)
    ends = [end for test in tests_of(cell) for end in _ends(test, backend, all_outcomes)]
    bad = [end for end in ends if end != "passed"]
    return bad[0] if bad else f"passed ({len(ends)})"


def _ends(test: Test, backend: str, all_outcomes: Outcomes) -> list[str]:
    """Return how a test ended in each way; of those for several backends, the one's alone."""
    ways = all_outcomes.get(_reported(test.node(backend)), {})
    for_backends = {way for way in ways if any(name in way for name in SUITES)}
    ours = [end for way, end in ways.items() if way not in for_backends or backend in way]
    return ours or ["not run"]


def _reported(node: str) -> str:
    """Return how a report of pytest calls a test."""
    file, *names = node.split("::")
    return ".".join([file.removesuffix(".py").replace("/", "."), *names])


def table(found: Sequence[tuple[str, Row]], all_outcomes: Outcomes) -> str:
    """Return the faults, each with what came of it on every backend."""
    width = max(len(row.fault) for _, row in found)
    lines = [_line(["", *SUITES], width)]
    befallen = ""
    for heading, row in found:
        if heading != befallen:
            befallen = heading
            lines += ["", heading]
        results = [result(row, backend, all_outcomes) for backend in SUITES]
        lines.append(_line([row.fault, *results], width))
    return "\n".join(lines)


def _line(cells: Sequence[str], width: int) -> str:
    first, *others = cells
    return "  ".join([f"  {first:<{width}}", *(f"{cell:<14}" for cell in others)]).rstrip()


def main() -> None:
    """Run the tests of all faults, and print the table; end with 1 if one did not pass."""
    found = list(rows(PAGE.read_text(encoding="utf-8")))
    all_outcomes = run(nodes([row for _, row in found]))
    print(table(found, all_outcomes))
    results = [result(row, backend, all_outcomes) for _, row in found for backend in SUITES]
    bad = [one for one in results if one != SPARED and not one.startswith("passed")]
    count = sum(len(ways) for ways in all_outcomes.values())
    print(f"\n{len(found)} faults, {count} tests; {len(bad)} cells did not pass")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
