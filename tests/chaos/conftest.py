"""A line for each seed that was played, and how to play again those that went wrong."""

from __future__ import annotations

import pytest

from batchcore_azure.emulator.fixture import (  # noqa: F401 - a fixture is had by importing it
    azurite_storage,
)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    line = _property(report, "chaos")
    if line:
        print(f"\n{line}", end="  ", flush=True)  # noqa: T201 - while nothing is captured


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    failed = terminalreporter.stats.get("failed", [])
    lines = [line for report in failed if (line := _property(report, "again"))]
    if lines:
        terminalreporter.section("play again what went wrong")
        for line in lines:
            terminalreporter.line(line)


def _property(report: pytest.TestReport, name: str) -> str:
    """Return a property of a test that has been called, else an empty string."""
    found = dict(report.user_properties) if report.when == "call" else {}
    return str(found.get(name, ""))
