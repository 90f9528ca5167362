"""`local-process` keeps the contract."""

from __future__ import annotations

import os
import signal

import pytest

from batchcore.clock import SystemClock
from batchcore.testing import BackendConformance, Opened, Subject


def lose(run: Opened, task_id: str) -> None:
    """Kill the first attempt's processes at once, so that none can write down how it ended."""
    pid = run.context.directory / "work" / task_id / "1" / "control" / "pid"
    while not (pid.exists() and pid.read_text().endswith("\n")):
        SystemClock().sleep(0.01)
    os.killpg(int(pid.read_text()), signal.SIGKILL)


class TestLocalProcess(BackendConformance):
    @pytest.fixture
    def subject(self) -> Subject:
        return Subject(backend="local-process", interrupt=lose)
