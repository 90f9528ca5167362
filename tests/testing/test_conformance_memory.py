"""`memory` keeps the contract, with a behaviour that runs the commands."""

from __future__ import annotations

import pytest

from batchcore.testing import BackendConformance, Subject, take_machine


class TestMemory(BackendConformance):
    @pytest.fixture
    def subject(self) -> Subject:
        return Subject(
            backend="memory",
            options={"behaviour": "batchcore.testing:execute"},
            interrupt=lambda opened, task_id: take_machine(opened.context.run_id, task_id),
        )
