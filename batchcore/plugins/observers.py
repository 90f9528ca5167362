"""Plugins that watch runs and judge jobs; each is called on its own and guarded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

from batchcore.errors import PluginError, Problem
from batchcore.events import Event
from batchcore.events import Observer as EventObserver
from batchcore.plugins.loading import blaming
from batchcore.plugins.metadata import InstalledPlugin
from batchcore.states import TaskState

if TYPE_CHECKING:
    from batchcore.model import Job

Warn = Callable[[str], None]


class Observer:
    """The hooks of one plugin of group ``batchcore.plugins``.

    Its methods never raise an `Exception` or `SystemExit` of the plugin: the first one is
    reported through `warn` in a line that names the distribution, the later ones are dropped.
    With `reraise` they reach the caller.
    """

    def __init__(
        self, plugin: InstalledPlugin, hooks: pluggy.PluginManager, warn: Warn, *, reraise: bool
    ) -> None:
        """Keep the loaded plugin; nothing is called."""
        self.plugin = plugin
        self._hook = hooks.hook
        self._warn = warn
        self._reraise = reraise
        self._reported = False

    def task_changed(
        self, run_id: str, task_id: str, old: TaskState | None, new: TaskState, at: float
    ) -> None:
        """Tell the plugin that a task changed; `at` is seconds since the epoch."""
        self._tell(
            lambda: self._hook.batchcore_task_changed(
                run_id=run_id, task_id=task_id, old=old, new=new, at=at
            )
        )

    def run_finished(self, run_id: str, state: str, directory: Path) -> None:
        """Tell the plugin that a run ended."""
        self._tell(
            lambda: self._hook.batchcore_run_finished(
                run_id=run_id, state=state, directory=directory
            )
        )

    def observe_run(self, run_id: str, directory: Path) -> Sequence[EventObserver]:
        """Return whom the plugin wants to be told of every event of a run."""
        found: list[EventObserver] = []

        def ask() -> None:
            answers = self._hook.batchcore_observe_run(run_id=run_id, directory=directory)
            found.extend(partial(self._pass_on, answer) for answer in answers)

        self._tell(ask)
        return found

    def _pass_on(self, observer: EventObserver, event: Event) -> None:
        self._tell(lambda: observer(event))

    def validate_job(self, job: Job, backend: str) -> Sequence[Problem]:
        """Return the plugin's problems with a job; its own failure is one more."""
        try:
            with blaming(self.plugin, reraise=self._reraise):
                answers = self._hook.batchcore_validate_job(job=job, backend=backend)
                # Within the guard: a hook written as a generator raises only here.
                found = [problem for answer in answers for problem in answer]
                if strange := [p for p in found if not isinstance(p, Problem)]:
                    raise TypeError(f"batchcore_validate_job gave {strange[0]!r}, not a Problem")
        except PluginError as exc:
            return exc.problems
        return found

    def _tell(self, call: Callable[[], object]) -> None:
        try:
            with blaming(self.plugin, reraise=self._reraise):
                call()
        except PluginError as exc:
            if not self._reported:
                self._reported = True
                self._warn(exc.reason)
