"""A plugin's backend between guards: what its code does wrong is told with its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

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
from batchcore.errors import BackendBug, BatchcoreError
from batchcore.plan import Plan
from batchcore.plugins.metadata import InstalledPlugin

if TYPE_CHECKING:
    from fsspec.spec import AbstractFileSystem

Answer = TypeVar("Answer")


class GuardedBackend(Backend):
    """Calls a plugin's backend; its errors of this project's tree pass through.

    So do those of the system, such as a full disk. Anything else that it raises, and an answer of
    a wrong type, is a `BackendBug` that names the plugin, its distribution and the method.
    """

    def __init__(self, backend: Backend, plugin: InstalledPlugin, *, reraise: bool) -> None:
        """Keep whom to call; with `reraise` the plugin's own exceptions are left as they are."""
        self._backend = backend
        self._plugin = plugin
        self._reraise = reraise
        self.notifies = backend.notifies  # type: ignore[misc]  # the class's default, or its own

    def check(self, plan: Plan) -> Check:
        """Call the plugin."""
        return self._ask("check", Check, plan)

    def store(self, run: RunContext) -> str:
        """Call the plugin."""
        return self._ask("store", str, run)

    def submit(self, run: RunContext, tasks: Sequence[TaskSubmission]) -> None:
        """Call the plugin."""
        self._call("submit", run, tasks)

    def poll(self, run: RunContext, cursor: str, wait: float) -> Snapshot:
        """Call the plugin."""
        return self._ask("poll", Snapshot, run, cursor, wait)

    def read_log(
        self, run: RunContext, attempt: TaskSubmission, stream: Stream, offset: int
    ) -> LogChunk:
        """Call the plugin."""
        return self._ask("read_log", LogChunk, run, attempt, stream, offset)

    def cancel(self, run: RunContext, task_ids: Sequence[str]) -> None:
        """Call the plugin."""
        self._call("cancel", run, task_ids)

    def outputs(self, run: RunContext, attempt: TaskSubmission) -> TaskFiles:
        """Call the plugin."""
        return self._ask("outputs", TaskFiles, run, attempt)

    def filesystem(self, url: str) -> tuple[AbstractFileSystem, str]:
        """Call the plugin; its errors are left to who asks, as those of its file system are."""
        return self._backend.filesystem(url)

    def release(self, run: RunContext, *, dry_run: bool) -> Sequence[str]:
        """Call the plugin."""
        lines = self._call("release", run, dry_run=dry_run)
        return list(self._checked("release", (list, tuple), lines))

    def settle(self, run: RunContext) -> None:
        """Call the plugin."""
        self._call("settle", run)

    def close(self) -> None:
        """Call the plugin."""
        self._call("close")

    def _ask(self, method: str, kind: type[Answer], *arguments: object) -> Answer:
        answer: Answer = self._checked(method, kind, self._call(method, *arguments))
        return answer

    def _call(self, method: str, *arguments: object, **named: object) -> Any:
        try:
            return getattr(self._backend, method)(*arguments, **named)
        except (BatchcoreError, OSError):
            raise
        except Exception as exc:
            if self._reraise:
                raise
            text = " ".join(f"{type(exc).__name__}: {exc}".split())
            raise self._fault(f"failed in {method}: {text}") from exc

    def _checked(self, method: str, kind: Any, answer: Any) -> Any:
        if not isinstance(answer, kind):
            wanted = getattr(kind, "__name__", "list")
            raise self._fault(f"returned {type(answer).__name__} and not {wanted} from {method}")
        return answer

    def _fault(self, what: str) -> BackendBug:
        return BackendBug(
            f"this is a bug: the backend {self._plugin.name!r} of {self._plugin.label} {what}",
            hint="the same command goes on once it is mended",
        )
