"""One task of an earlier run once more, here, and what came out differently.

`prepare` makes a job of the task, `resources` finds what it was given, `images` names the image
that it had, `compare` tells the difference, `shell` opens one instead; `model` is what is found.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator

from batchcore.errors import BackendError, BatchcoreError, Detached, UsageError
from batchcore.events import Note, Observer, Observers
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
    stay. Observers are told the notes too: what is different here, before it starts. Raises
    `NotFound` for a task that the run has not, `UsageError` for one that has not ended, what
    `batchcore.replay.prepare.ready` raises, and what driving raises: after Ctrl-C `Detached`.
    """
    run, task_id = wanted.run, wanted.task
    then = run.task(task_id)
    if not then.state.final:
        raise UsageError(
            f"task {task_id!r} of run {run.id} has not ended: there is nothing to compare with",
            hint=f"wait for it: batchcore wait {os.path.relpath(run.directory)}",
        )
    observers = list(observers)
    with ready(wanted) as prepared:
        _tell(observers, prepared.notes)
        again = drive(prepared.prepared, observers, leave=_leave)
    remarks = list(_clean(again))
    _tell(observers, remarks)
    now = again.task(task_id)
    return Replay(
        run=run.id,
        task=task_id,
        backend=again.heading.backend,
        directory=again.directory,
        image=_image_of(prepared),
        resources=prepared.resources,
        then=then,
        now=now,
        outputs=compare_outputs(then.outputs, now.outputs),
        logs=compare_logs(run, again, task_id),
        notes=(*prepared.notes, *remarks),
    )


def _tell(observers: Iterable[Observer], notes: Iterable[str]) -> None:
    told = Observers(observers)
    for note in notes:
        told.tell(Note(at=time.time(), text=note))


def _image_of(prepared: Ready) -> str:
    """Return the image that the replay ran in; a backend without containers has used none."""
    plan, spec = prepared.prepared.plan, prepared.prepared.spec
    contained = spec.capability("containers").level != "unsupported"
    return (plan.tasks[0].image or "") if contained else ""


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
