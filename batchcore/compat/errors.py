"""Errors that controllers of super_batch catch: it raised RuntimeError and ValueError."""

from __future__ import annotations

from batchcore.errors import TasksFailed, UsageError, WaitTimeout


class JobFailed(TasksFailed, RuntimeError):
    """Some tasks did not succeed; the files of all that did are in `BATCH_DIRECTORY`."""


class WaitedTooLong(WaitTimeout, RuntimeError):
    """`STORAGE_ACCESS_DURATION_HRS` went by before the tasks had ended; they go on."""


class NotRunnable(UsageError, ValueError):
    """The client was made by `from_data`, so it collects results and starts nothing."""
