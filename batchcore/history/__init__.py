"""What a run has been: its tasks, their attempts and times as one value, read from its record."""

from __future__ import annotations

from batchcore.history.model import SCHEMA, AttemptHistory, History, TaskHistory
from batchcore.history.read import read_history

__all__ = ["SCHEMA", "AttemptHistory", "History", "TaskHistory", "read_history"]
