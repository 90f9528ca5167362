"""Traces of OpenTelemetry for runs; needs the extra ``batchcore[otel]``, and nothing else does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchcore.errors import EnvironmentNotReady
from batchcore.events import Observer

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

__all__ = ["observer"]


def observer(provider: TracerProvider | None = None) -> Observer:
    """Return an observer that makes spans of a run, its tasks and their attempts.

    `provider` defaults to the one that is set for the process; where none is set no spans are
    made. A span that is current when the run begins is the parent of the run's. A run that is gone
    on with gets a span with a link to the one before, which ``trace.json`` in the run directory
    names. For names and attributes see ``docs/events.md``. Raises `EnvironmentNotReady` where
    OpenTelemetry is not installed.
    """
    try:
        from batchcore.otel.spans import Spans
    except ImportError as exc:
        raise EnvironmentNotReady(
            "traces need OpenTelemetry, which is not installed",
            hint="pip install opentelemetry-sdk",
        ) from exc
    return Spans(provider)
