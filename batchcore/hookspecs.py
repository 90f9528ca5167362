"""The hooks that a plugin may implement; importing this module imports no backend.

A module named by an entry point in group ``batchcore.backends`` implements
`batchcore_register_backend`. A module in group ``batchcore.plugins`` implements any of the
others. A hook may leave out arguments that it does not need, so that later versions can add some.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from batchcore.backend import BackendSpec
    from batchcore.errors import Problem
    from batchcore.events import Observer
    from batchcore.model import Job
    from batchcore.states import TaskState

__all__ = [
    "BACKENDS",
    "OBSERVERS",
    "batchcore_observe_run",
    "batchcore_register_backend",
    "batchcore_run_finished",
    "batchcore_task_changed",
    "batchcore_validate_job",
    "hookimpl",
]

PROJECT = "batchcore"
BACKENDS = "batchcore.backends"
OBSERVERS = "batchcore.plugins"

hookimpl = pluggy.HookimplMarker(PROJECT)
_hookspec = pluggy.HookspecMarker(PROJECT)


@_hookspec
def batchcore_register_backend() -> BackendSpec:  # type: ignore[empty-body]  # pluggy calls none
    """Describe the backend of this entry point, without importing its SDK.

    Required of every module in group ``batchcore.backends``. The name is the entry point's name.

    In ``pyproject.toml``::

        [project.entry-points."batchcore.backends"]
        slurm = "batchcore_slurm.plugin"

    In ``batchcore_slurm/plugin.py``::

        from batchcore.backend import API_VERSION, NATIVE, BackendSpec, unsupported
        from batchcore.hookspecs import hookimpl

        @hookimpl
        def batchcore_register_backend() -> BackendSpec:
            return BackendSpec(
                name="slurm",
                summary="jobs of a Slurm cluster",
                factory="batchcore_slurm.backend:SlurmBackend",
                settings="batchcore_slurm.settings:SlurmSettings",
                capabilities={"retries": NATIVE, "gpus": unsupported("not written yet")},
                api_version=1,
            )
    """


@_hookspec
def batchcore_validate_job(  # type: ignore[empty-body]  # pluggy calls none
    job: Job, backend: str
) -> Iterable[Problem]:
    """Return what is wrong with a job, before anything is staged or submitted.

    Any problem stops the run with exit code 2; the problems of all plugins are shown together.
    Called on the controller with the name of the chosen backend. A hook that raises counts as a
    problem that names its distribution.

    Example: a site that pays by the hour wants a time limit on every task::

        @hookimpl
        def batchcore_validate_job(job: Job) -> Iterable[Problem]:
            for task in job.tasks:
                if task.timeout is None and job.timeout is None:
                    yield Problem(
                        code="SITE01",
                        reason=f"task {task.id!r} has no time limit",
                        hint='write timeout = "2h"',
                        key="timeout",
                    )
    """


@_hookspec
def batchcore_task_changed(
    run_id: str, task_id: str, old: TaskState | None, new: TaskState, at: float
) -> None:
    """Learn that a task went from one state to another.

    `old` is None for the first state that is seen; `at` is seconds since the epoch. Called in the
    process that drives the run, in the order of the changes, after the change is recorded; a new
    driver may repeat the last ones. Return soon: the driver waits. What a hook raises is reported
    once and changes nothing else.

    Example: count failures where a dashboard finds them::

        @hookimpl
        def batchcore_task_changed(task_id: str, new: TaskState) -> None:
            if new == "failed":
                statsd.increment("batch.failed", tags=[f"task:{task_id}"])
    """


@_hookspec
def batchcore_run_finished(run_id: str, state: str, directory: Path) -> None:
    """Learn that a run ended, with everything collected that will be.

    `state` is ``"succeeded"``, ``"failed"`` or ``"canceled"``; `directory` is the run directory.
    What a hook raises is reported once and does not change the exit code.

    Example: tell the team::

        @hookimpl
        def batchcore_run_finished(run_id: str, state: str, directory: Path) -> None:
            chat.post(f"{run_id} {state}: {directory / 'outputs'}")
    """


@_hookspec
def batchcore_observe_run(run_id: str, directory: Path) -> Observer | None:
    r"""Return who is to be told of every event of a run, or None.

    Called in the process that drives the run, before it begins. What is returned is called with
    each `batchcore.events.Event` in its order; it passes over those that it does not know. Return
    soon: the driver waits. What it raises is reported once and changes nothing else.

    Example: write down what happens, as lines of JSON::

        @hookimpl
        def batchcore_observe_run(directory: Path) -> Callable[[Event], None]:
            def write(event: Event) -> None:
                with (directory / "events.jsonl").open("ab") as file:
                    file.write(msgspec.json.encode(event) + b"\n")

            return write
    """
