"""`slurm` keeps the contract."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from batchcore.testing.conformance import BackendConformance
from batchcore.testing.subject import Subject


def take_the_node_away(opened: Any, task_id: str) -> None:
    """Let the cluster's node fail; it comes back as soon as it answers again."""
    for state in ("DOWN", "RESUME"):
        words = ["scontrol", "update", "NodeName=ALL", f"State={state}", "Reason=test"]
        subprocess.run(words, capture_output=True, check=False, timeout=30)


class TestSlurm(BackendConformance):
    @pytest.fixture
    def subject(self, cluster: Path) -> Subject:
        return Subject(
            backend="slurm", options={"patience": 1.0}, interrupt=take_the_node_away, copies=60
        )
