"""The run directory: what is known of a run, on disk, for one writer and any number of readers."""

from __future__ import annotations

from batchcore.record.record import (
    Header,
    Heading,
    Record,
    TaskRow,
    read_header,
    read_heading,
    read_plan,
)

__all__ = [
    "Header",
    "Heading",
    "Record",
    "TaskRow",
    "read_header",
    "read_heading",
    "read_plan",
]
