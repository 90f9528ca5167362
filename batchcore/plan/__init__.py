"""A job made concrete: its resources' sources fixed, every problem between its tasks found."""

from __future__ import annotations

from batchcore.plan.plan import (
    Dependency,
    Mount,
    Plan,
    PlannedFile,
    PlannedOutput,
    PlannedTask,
    Requirements,
    plan_job,
)

__all__ = [
    "Dependency",
    "Mount",
    "Plan",
    "PlannedFile",
    "PlannedOutput",
    "PlannedTask",
    "Requirements",
    "plan_job",
]
