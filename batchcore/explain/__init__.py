"""Why the tasks of a run are where they are: what the record tells, and what the backend knows."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from batchcore.backend import RunContext, TaskSubmission
from batchcore.errors import BatchcoreError
from batchcore.explain.grouping import Grouper, scene_of
from batchcore.explain.model import SCHEMA, Advice, AttemptEnd, Explanation, Group, LogTail
from batchcore.explain.waiting import Scene, is_submitted
from batchcore.life.manage import open_backend
from batchcore.record import Record
from batchcore.record.rundir import is_driven
from batchcore.run import Run

__all__ = [
    "SCHEMA",
    "Advice",
    "AttemptEnd",
    "Explanation",
    "Group",
    "LogTail",
    "explain_run",
]

_ASKED = 20


def explain_run(
    run: Run, task_id: str = "", *, name: str = "", now: float | None = None, ask: bool = True
) -> Explanation:
    """Explain a run, or one task of it; the backend is asked where it has attempts of theirs.

    Without `ask` it is not.

    Tasks that ended alike or wait alike are one group; what has succeeded is in none. `name` is
    what commands call the run, default its directory; `now` is in seconds since the epoch. A
    backend that cannot be asked is a note and no error. Raises `NotFound` for an unknown task,
    `BackendError` for a damaged record.
    """
    run.require_tasks([task_id] if task_id else [])
    name = name or shlex.quote(str(run.directory))
    driven = is_driven(run.directory)
    now = time.time() if now is None else now
    record = Record.read(run.directory, run.heading)
    try:
        with record.errors():
            scene = scene_of(record, run.plan.tasks, run.heading.backend, driven=driven, now=now)
            rows = [scene.rows[task_id]] if task_id else scene.rows.values()
            groups = Grouper(record, scene, name).groups(rows)
            counts = record.counts()
    finally:
        record.close()
    told = _told_by_backend(run, scene, groups) if ask else {}
    return Explanation(
        run=run.id,
        backend=run.heading.backend,
        state=run.state,
        directory=run.directory,
        driven=driven,
        counts={state.value: count for state, count in sorted(counts.items())},
        notes=(*_driver_notes(run, name, driven=driven), *told.get("", ())),
        groups=tuple(
            replace(group, facts=(*group.facts, *told.get(group.tasks[0], ()))) for group in groups
        ),
    )


def _driver_notes(run: Run, name: str, *, driven: bool) -> tuple[str, ...]:
    if driven or run.state != "running":
        return ()
    return (f"no process drives this run; go on with:  batchcore wait {name}",)


def _told_by_backend(
    run: Run, scene: Scene, groups: Sequence[Group]
) -> Mapping[str, Sequence[str]]:
    """Ask the backend about the first of each group that it has; by task, and "" for all."""
    firsts = (scene.rows[group.tasks[0]] for group in groups)
    attempts = [
        TaskSubmission(scene.tasks[row.id], row.attempt) for row in firsts if is_submitted(row)
    ]
    if not attempts:
        return {}
    context = RunContext(run_id=run.id, plan=run.plan, directory=run.directory)
    try:
        with open_backend(run) as backend:
            return backend.explain(context, attempts[:_ASKED])
    except BatchcoreError as exc:
        return {"": (f"the backend could not be asked: {exc.reason}", *filter(None, (exc.hint,)))}
