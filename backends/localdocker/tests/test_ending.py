"""What an ended container leaves, and a disk that cannot take it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from batchcore.errors import BackendError, TransferError
from batchcore.local.runner import Attempt

pytestmark = pytest.mark.docker


def test_logs_that_a_full_disk_cannot_take_are_fetched_by_the_next_command(
    lab: Any, image_without_shell: str, read_stdout: Callable[[Attempt], str]
) -> None:
    attempt = lab.python("print('out')", image=image_without_shell)
    (attempt.control / "stdout.part").symlink_to("/dev/full")
    with pytest.raises(TransferError, match="the disk is full"):
        lab.end(attempt)
    (attempt.control / "stdout.part").unlink()
    assert lab.end(attempt).code == 0
    assert read_stdout(attempt) == "out\n"


def test_a_full_disk_is_not_a_daemon_that_was_away(lab: Any, image_without_shell: str) -> None:
    kill = "import os; print('out', flush=True); os.kill(os.getpid(), 9)"
    attempt = lab.python(kill, image=image_without_shell)
    (attempt.control / "stdout.part").symlink_to("/dev/full")
    with pytest.raises(BackendError):
        lab.end(attempt)
    (attempt.control / "stdout.part").unlink()
    end = lab.end(attempt)
    assert (end.code, end.reason) == (137, None)
