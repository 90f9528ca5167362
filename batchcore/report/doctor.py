"""What the doctor found, as text and data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from batchcore.backend import Finding
from batchcore.doctor import Section
from batchcore.report.text import Marks, plural

_TONES = {"ok": "good", "warning": "note", "problem": "bad"}


def doctor_lines(sections: Sequence[Section], marks: Marks) -> Iterator[tuple[str, str]]:
    """Yield each line and its tone, empty for none; one that mends something is indented."""
    signs = {"ok": marks.good, "warning": "!", "problem": marks.bad}
    for number, section in enumerate(sections):
        if number:
            yield "", ""
        yield section.name, ""
        for finding in section.findings:
            yield f"{signs[finding.level]} {one_line(finding.what)}", _TONES[finding.level]
            if finding.fix:
                yield f"    fix: {one_line(finding.fix)}", ""


def doctor_summary(sections: Sequence[Section]) -> str:
    """Return how much is wrong: ``1 problem, 2 warnings``."""
    problems, warnings = count(sections, "problem"), count(sections, "warning")
    if not problems + warnings:
        return "all is well"
    parts = [(problems, "problem"), (warnings, "warning")]
    return ", ".join(plural(number, noun) for number, noun in parts if number)


def doctor_data(sections: Sequence[Section]) -> dict[str, Any]:
    """Return what was found as plain data."""
    return {
        "problems": count(sections, "problem"),
        "warnings": count(sections, "warning"),
        "sections": sections,
    }


def count(sections: Sequence[Section], level: str) -> int:
    """Return how many findings are of a level."""
    findings: list[Finding] = [finding for section in sections for finding in section.findings]
    return sum(finding.level == level for finding in findings)


def one_line(text: str) -> str:
    """Return a text without breaks."""
    return " ".join(text.split())
