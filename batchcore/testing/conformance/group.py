"""What the groups of tests have in common: the backend under test, and what to say of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from batchcore.backend import TaskUpdate
from batchcore.testing.deadline import says
from batchcore.testing.subject import Subject
from batchcore.testing.trial import Trial

__all__ = ["Group", "end_of", "says"]


def end_of(update: TaskUpdate) -> TaskUpdate:
    """Return an update as far as it must not change once the attempt has ended."""
    return replace(update, detail="", native="", node="")


class Group:
    """Tests of one subject of the contract."""

    @pytest.fixture
    def subject(self) -> Subject:
        """Say which backend is tested; a subclass must override this."""
        raise pytest.UsageError(
            f"{type(self).__name__} needs a fixture `subject` that returns a "
            "batchcore.testing.Subject, such as Subject(backend='mine')"
        )

    @pytest.fixture
    def trial(self, subject: Subject, tmp_path: Path) -> Iterator[Trial]:
        """Everything a test does with the backend."""
        here = tmp_path / "trial"
        here.mkdir()
        trial = Trial(subject, here)
        yield trial
        trial.close()
