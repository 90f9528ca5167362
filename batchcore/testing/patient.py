"""A backend's methods as the driver calls them: what is transient is tried again."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from batchcore.backend import (
    Backend,
    Check,
    LogChunk,
    RunContext,
    Snapshot,
    Stream,
    TaskFiles,
    TaskSubmission,
)
from batchcore.patience import Patience
from batchcore.plan import Plan
from batchcore.testing.clock import ImpatientClock

if TYPE_CHECKING:
    from fsspec.spec import AbstractFileSystem

Result = TypeVar("Result")


class PatientBackend(Backend):
    """Passes everything on, and repeats what fails with a transient error, as often as a driver.

    `pause` is the longest wait before another try, in seconds. `check` is asked once: it is no
    part of a run.
    """

    def __init__(self, backend: Backend, pause: float) -> None:
        """Keep whom to call."""
        self._backend = backend
        chance = random.Random()  # noqa: S311 - jitter, not a secret
        self._patience = Patience(ImpatientClock(pause), chance, lambda _error, _seconds: None)
        self.notifies = backend.notifies  # type: ignore[misc]  # the class's default, or its own

    def repeat(self, call: Callable[[], Result]) -> Result:
        """Return what a call that uses the backend returns at last."""
        return self._patience.repeat(call)

    def check(self, plan: Plan) -> Check:
        """Pass it on."""
        return self._backend.check(plan)

    def store(self, run: RunContext) -> str:
        """Pass it on."""
        return self.repeat(lambda: self._backend.store(run))

    def filesystem(self, url: str) -> tuple[AbstractFileSystem, str]:
        """Pass it on; its errors are left to who asks, as those of its file system are."""
        return self._backend.filesystem(url)

    def submit(self, run: RunContext, tasks: Sequence[TaskSubmission]) -> None:
        """Pass it on."""
        self.repeat(lambda: self._backend.submit(run, tasks))

    def poll(self, run: RunContext, cursor: str, wait: float) -> Snapshot:
        """Pass it on."""
        return self.repeat(lambda: self._backend.poll(run, cursor, wait))

    def read_log(
        self, run: RunContext, attempt: TaskSubmission, stream: Stream, offset: int
    ) -> LogChunk:
        """Pass it on."""
        return self.repeat(lambda: self._backend.read_log(run, attempt, stream, offset))

    def cancel(self, run: RunContext, task_ids: Sequence[str]) -> None:
        """Pass it on."""
        self.repeat(lambda: self._backend.cancel(run, task_ids))

    def outputs(self, run: RunContext, attempt: TaskSubmission) -> TaskFiles:
        """Pass it on."""
        return self.repeat(lambda: self._backend.outputs(run, attempt))

    def release(self, run: RunContext, *, dry_run: bool) -> Sequence[str]:
        """Pass it on."""
        return self.repeat(lambda: self._backend.release(run, dry_run=dry_run))

    def settle(self, run: RunContext) -> None:
        """Pass it on."""
        self.repeat(lambda: self._backend.settle(run))

    def close(self) -> None:
        """Pass it on."""
        self._backend.close()
