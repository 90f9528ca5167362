"""Plugins that watch the runs of commands, in this process and in the background."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchcore.hookspecs import OBSERVERS
from batchcore.testing.plugins import PluginInstaller

Call = Callable[..., Any]

TRACING = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from batchcore import otel
from batchcore.hookspecs import hookimpl

@hookimpl
def batchcore_observe_run(directory):
    file = (directory / "spans.txt").open("a")
    exporter = ConsoleSpanExporter(out=file, formatter=lambda span: span.name + chr(10))
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return otel.observer(provider)
"""
SPANS = ["batchcore.attempt", "batchcore.task", "batchcore.run"]


@pytest.fixture(autouse=True)
def tracing(install_plugin: PluginInstaller) -> None:
    """A plugin that writes the names of spans into the run directory."""
    install_plugin("tracing", TRACING, group=OBSERVERS)


def spans(here: Path, run: str) -> list[str]:
    return (here / ".batchcore" / run / "spans.txt").read_text().splitlines()


def test_a_plugin_gets_the_events_of_a_command(process: Call, job: Call, here: Path) -> None:
    done = process("run", job(), "--json")
    assert done.code == 0, done.err
    assert spans(here, done.data["run"]) == SPANS


def test_in_the_background_it_gets_them_once(process: Call, job: Call, here: Path) -> None:
    run = process("submit", job()).out.strip()
    assert process("wait", run).code == 0
    assert spans(here, run) == SPANS
