"""A backend around another one, for what is to happen at each of its methods."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from batchcore.backend import (
    Backend,
    Check,
    LogChunk,
    RunContext,
    Shell,
    Snapshot,
    Stream,
    TaskFiles,
    TaskSubmission,
)
from batchcore.plan import Plan

if TYPE_CHECKING:
    from fsspec.spec import AbstractFileSystem

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


class Delegate(Backend):
    """Passes every method on; a subclass says by `call` what happens on the way."""

    def __init__(self, backend: Backend) -> None:
        """Keep whom to call."""
        self._backend = backend
        self.notifies = backend.notifies  # type: ignore[misc]  # the class's default, or its own

    def call(
        self,
        name: str,  # noqa: ARG002 - for those that replace this
        method: Callable[Given, Answer],
        *arguments: Given.args,
        **named: Given.kwargs,
    ) -> Answer:
        """Call a method, whose name in the contract comes first, and return its answer."""
        return method(*arguments, **named)

    def check(self, plan: Plan) -> Check:
        """Pass it on."""
        return self.call("check", self._backend.check, plan)

    def store(self, run: RunContext) -> str:
        """Pass it on."""
        return self.call("store", self._backend.store, run)

    def filesystem(self, url: str) -> tuple[AbstractFileSystem, str]:
        """Pass it on as it is; its errors are left to who asks, as its file system's are."""
        return self._backend.filesystem(url)

    def submit(self, run: RunContext, tasks: Sequence[TaskSubmission]) -> None:
        """Pass it on."""
        self.call("submit", self._backend.submit, run, tasks)

    def poll(self, run: RunContext, cursor: str, wait: float) -> Snapshot:
        """Pass it on."""
        return self.call("poll", self._backend.poll, run, cursor, wait)

    def read_log(
        self, run: RunContext, attempt: TaskSubmission, stream: Stream, offset: int
    ) -> LogChunk:
        """Pass it on."""
        return self.call("read_log", self._backend.read_log, run, attempt, stream, offset)

    def cancel(self, run: RunContext, task_ids: Sequence[str]) -> None:
        """Pass it on."""
        self.call("cancel", self._backend.cancel, run, task_ids)

    def outputs(self, run: RunContext, attempt: TaskSubmission) -> TaskFiles:
        """Pass it on."""
        return self.call("outputs", self._backend.outputs, run, attempt)

    def release(self, run: RunContext, *, dry_run: bool) -> Sequence[str]:
        """Pass it on."""
        return self.call("release", self._backend.release, run, dry_run=dry_run)

    def settle(self, run: RunContext) -> None:
        """Pass it on."""
        self.call("settle", self._backend.settle, run)

    def release_orphans(self, keep: Collection[str], *, dry_run: bool) -> Sequence[str]:
        """Pass it on."""
        return self.call("release_orphans", self._backend.release_orphans, keep, dry_run=dry_run)

    def explain(
        self, run: RunContext, attempts: Sequence[TaskSubmission]
    ) -> Mapping[str, Sequence[str]]:
        """Pass it on."""
        return self.call("explain", self._backend.explain, run, attempts)

    def shell(self, run: RunContext, attempt: TaskSubmission) -> Shell | None:
        """Pass it on."""
        return self.call("shell", self._backend.shell, run, attempt)

    def close(self) -> None:
        """Pass it on."""
        self.call("close", self._backend.close)
