"""A plugin's backend behind guards: what its code does wrong is told with its name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from batchcore.backend import (
    Backend,
    Check,
    LogChunk,
    RunContext,
    Shell,
    Snapshot,
    TaskFiles,
    TaskSubmission,
)
from batchcore.delegate import Answer, Delegate, Given
from batchcore.errors import BackendBug, BatchcoreError
from batchcore.plugins.metadata import InstalledPlugin

_LINES = (list, tuple)
_ANSWERS: dict[str, tuple[type, ...]] = {
    "check": (Check,),
    "store": (str,),
    "poll": (Snapshot,),
    "read_log": (LogChunk,),
    "outputs": (TaskFiles,),
    "release": _LINES,
    "release_orphans": _LINES,
    "explain": (Mapping,),
    "shell": (Shell, type(None)),
}


class GuardedBackend(Delegate):
    """Calls a plugin's backend; its errors of this project's tree pass through.

    So do those of the system, such as a full disk. Anything else that it raises, and an answer of
    a wrong type, is a `BackendBug` that names the plugin, its distribution and the method.
    """

    def __init__(self, backend: Backend, plugin: InstalledPlugin, *, reraise: bool) -> None:
        """Keep whom to call; with `reraise` the plugin's own exceptions are left as they are."""
        super().__init__(backend)
        self._plugin = plugin
        self._reraise = reraise

    def call(
        self,
        name: str,
        method: Callable[Given, Answer],
        *arguments: Given.args,
        **named: Given.kwargs,
    ) -> Answer:
        """Call the plugin, and look at what comes of it."""
        try:
            answer = method(*arguments, **named)
        except (BatchcoreError, OSError):
            raise
        except Exception as exc:
            if self._reraise:
                raise
            text = " ".join(f"{type(exc).__name__}: {exc}".split())
            raise self._fault(f"failed in {name}: {text}") from exc
        self._expect(name, answer, _ANSWERS.get(name, ()))
        return answer

    def release(self, run: RunContext, *, dry_run: bool) -> Sequence[str]:
        """Call the plugin; the lines are the caller's own."""
        return list(super().release(run, dry_run=dry_run))

    def release_orphans(self, keep: Collection[str], *, dry_run: bool) -> Sequence[str]:
        """Call the plugin; the lines are the caller's own."""
        return list(super().release_orphans(keep, dry_run=dry_run))

    def explain(
        self, run: RunContext, attempts: Sequence[TaskSubmission]
    ) -> Mapping[str, Sequence[str]]:
        """Call the plugin; the lines are the caller's own."""
        told = super().explain(run, attempts)
        for lines in told.values():
            self._expect("explain", lines, _LINES)
        return {task_id: list(lines) for task_id, lines in told.items()}

    def _expect(self, name: str, answer: object, wanted: tuple[type, ...]) -> None:
        if wanted and not isinstance(answer, wanted):
            given = type(answer).__name__
            raise self._fault(f"returned {given} and not {wanted[0].__name__} from {name}")

    def _fault(self, what: str) -> BackendBug:
        return BackendBug(
            f"this is a bug: the backend {self._plugin.name!r} of {self._plugin.label} {what}",
            hint="the same command goes on once it is mended",
        )
