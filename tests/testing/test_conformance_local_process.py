"""`local-process` keeps the contract."""

from __future__ import annotations

import pytest

from batchcore.testing.conformance import BackendConformance
from batchcore.testing.subject import Subject


class TestLocalProcess(BackendConformance):
    @pytest.fixture
    def subject(self) -> Subject:
        return Subject(backend="local-process")
