"""One task of an earlier run once more, here, and what came out differently.

`prepare` makes a job of the task, `resources` finds what it was given, `images` names the image
that it had, `compare` tells the difference, `shell` opens one instead; `model` is what is found.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from batchcore.errors import BackendError, BatchcoreError, Detached, UsageError
from batchcore.events import Observer
from batchcore.life.manage import clean_run
from batchcore.life.start import drive
from batchcore.record import Record
from batchcore.replay.compare import compare_logs, compare_outputs
from batchcore.replay.model import (
    SCHEMA,
    Difference,
    LogChange,
    OutputChange,
    Replay,
    TakenFile,
)
from batchcore.replay.prepare import Ready, Wanted, ready
from batchcore.replay.shell import open_shell
from batchcore.run import Run
from batchcore.transfer.remove import remove_tree

__all__ = [
    "SCHEMA",
    "Difference",
    "LogChange",
    "OutputChange",
    "Ready",
    "Replay",
    "TakenFile",
    "Wanted",
    "open_shell",
    "replay_task",
]


def replay_task(wanted: Wanted, observers: Iterable[Observer] = ()) -> Replay:
    """Run one task of a run once more, as a run of its own, and return what differs.

    The task has what it had: command, environment, resources by their digest, and the image by
    its digest. What it leaves on its backend is released at the end; outputs, logs and record
    stay. Raises `NotFound` for a task that the run has not, `UsageError` for one that has not
    ended, what `batchcore.replay.prepare.ready` raises, and what driving raises: after Ctrl-C
    `Detached`.
    """
    run, task_id = wanted.run, wanted.task
    then = run.task(task_id)
    if not then.state.final:
        raise UsageError(
            f"task {task_id!r} of run {run.id} has not ended: there is nothing to compare with",
            hint=f"wait for it: batchcore wait {os.path.relpath(run.directory)}",
        )
    with ready(wanted) as prepared:
        again = drive(prepared.prepared, observers, leave=_leave)
    now = again.task(task_id)
    return Replay(
        run=run.id,
        task=task_id,
        backend=again.heading.backend,
        directory=again.directory,
        image=again.plan.tasks[0].image or "",
        resources=prepared.resources,
        then=then,
        now=now,
        outputs=compare_outputs(then.outputs, now.outputs),
        logs=compare_logs(run, again, task_id),
        notes=(*prepared.notes, *_clean(again)),
    )


def _leave(error: BatchcoreError, record: Record) -> BatchcoreError:
    """Say how to go on with a replay that was left."""
    if not isinstance(error, Detached):
        return error
    place = os.path.relpath(record.directory)
    return Detached(
        error.reason,
        hint=f"go on:  batchcore wait {place}\n        stop:   batchcore cancel {place}",
        signal_exit=error.signal_exit,
    )


def _clean(again: Run) -> Iterator[str]:
    """Release what the replay has left but its results; say what went wrong with that."""
    try:
        clean_run(again, dry_run=False)
        remove_tree(again.directory / "resources")
    except BackendError as exc:
        place = os.path.relpath(again.directory)
        yield f"not all is deleted: {exc.reason}; try:  batchcore clean {place}"
