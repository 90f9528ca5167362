"""Writes docs/parity.md: what each backend declares, and what the conformance kit found of it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from batchcore.backend import FEATURES, BackendSpec
from batchcore.plugins import Plugins
from batchcore.testing.conformance import BackendConformance
from batchcore.testing.conformance.group import Group

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/parity.md"
SUITES = {
    "local-process": "tests/testing/test_conformance_local_process.py",
    "local-docker": "backends/localdocker/tests/test_conformance.py",
    "azure": "backends/azure/tests/test_conformance.py",
    "slurm": "examples/plugins/batchcore-slurm/tests/test_conformance.py",
    "memory": "tests/testing/test_conformance_memory.py",
}
HEAD = """\
# Parity

What each backend declares, and what the [conformance kit](writing-a-backend.md) found when it was
last run on it. `make parity` writes this page. `azure` ran on its [emulator](testing-azure.md),
`slurm` on a real cluster of one node; it is the example of a backend that somebody else could have
written, and `memory` is for [tests](testing.md).
"""
DECLARED = """
## What they declare

`native`: the backend does it. `emulated`: batchcore does it for the backend. `unsupported`: a job
that asks for it is refused before anything is created.
"""
FOUND = """
## What the kit found

Each line is a promise of the contract. `yes`: it was kept, with the number of ways in which it was
tried where there are several. `-`: it needs a feature that the backend declares unsupported.
"""

Outcomes = Mapping[str, str]
"""From the name of a test function to ``yes``, ``-`` or ``no``."""


def groups() -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the title of each group of the kit, and the names of its tests."""
    for group in BackendConformance.__mro__:
        if issubclass(group, Group) and group not in {BackendConformance, Group}:
            title = (group.__doc__ or group.__name__).splitlines()[0].rstrip(".")
            yield title, [name for name in vars(group) if name.startswith("test_")]


def sentence(test: str) -> str:
    """Return what the name of a test says."""
    return test.removeprefix("test_").replace("_", " ")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def declared(specs: Mapping[str, BackendSpec]) -> str:
    """Return the part of the page that the specs decide."""
    head = ["feature", "meaning", *(f"`{name}`" for name in specs)]
    levels = [
        [f"`{feature}`", meaning, *(spec.capability(feature).level for spec in specs.values())]
        for feature, meaning in FEATURES.items()
    ]
    reasons = "".join(
        f"- `{feature}` on `{name}`: {spec.capability(feature).reason}\n"
        for feature in FEATURES
        for name, spec in specs.items()
        if spec.capability(feature).level == "unsupported"
    )
    return f"{DECLARED}\n{table(head, levels)}\n### Why not\n\n{reasons}"


def found(outcomes: Mapping[str, Outcomes]) -> str:
    """Return the part of the page that running the kit decides."""
    parts = [FOUND]
    for title, tests in groups():
        rows = [[sentence(test), *(o.get(test, "?") for o in outcomes.values())] for test in tests]
        parts.append(f"\n### {title}\n\n")
        parts.append(table(["promise", *(f"`{name}`" for name in outcomes)], rows))
    return "".join(parts)


def run(suite: str) -> Outcomes:
    """Run the kit on one backend, and return what came of each test; nothing may be missing."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", suite, f"--junitxml={report}"]
        needing_all = {**os.environ, "BATCHCORE_REQUIRE": "all"}
        done = subprocess.run(command, cwd=ROOT, env=needing_all, check=False, stdout=sys.stderr)
        if not report.exists():
            sys.exit(f"{suite}: pytest ended with {done.returncode} and wrote no report")
        return outcomes(report)


def outcomes(report: Path) -> Outcomes:
    """Read a report of pytest; a test that was tried in several ways is as good as the worst."""
    seen: dict[str, list[str]] = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest has just written it
        name = case.attrib["name"].partition("[")[0]
        seen.setdefault(name, []).append(_outcome(case))
    return {name: _together(found) for name, found in seen.items()}


def _outcome(case: ET.Element) -> str:
    kinds = {child.tag for child in case}
    return "no" if kinds & {"failure", "error"} else "-" if "skipped" in kinds else "yes"


def _together(found: Sequence[str]) -> str:
    if "no" in found:
        return "no"
    kept = found.count("yes")
    return "-" if not kept else "yes" if len(found) == 1 else f"yes ({kept})"


def main() -> None:
    """Run the kit on every backend, and write the page if every promise was kept."""
    plugins = Plugins()
    specs = {name: plugins.spec(name) for name in SUITES}
    results = {name: run(suite) for name, suite in SUITES.items()}
    failed = [name for name, result in results.items() if "no" in result.values() or not result]
    if failed:
        sys.exit(f"the kit failed on {', '.join(failed)}; {PAGE.name} is left as it was")
    PAGE.write_text(HEAD + declared(specs) + found(results), encoding="utf-8")


if __name__ == "__main__":
    main()
