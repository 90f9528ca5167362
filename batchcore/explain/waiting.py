"""Why a task has not ended, as far as the record of its run tells."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from msgspec import Struct

from batchcore.driver.schedule import longest_backoff
from batchcore.plan import PlannedTask
from batchcore.record import TaskRow
from batchcore.states import Budget, FailureReason, TaskState, budget_of
from batchcore.units import show_seconds

AT_WORK = frozenset(
    {
        TaskState.QUEUED,
        TaskState.PREPARING,
        TaskState.RUNNING,
        TaskState.FINALIZING,
        TaskState.UNKNOWN,
    }
)


class Scene(Struct, frozen=True, kw_only=True):
    """What a task's own row does not tell: the other tasks, the backend's name, the driver, now.

    `last` has the reason of the last ended attempt and its end, for tasks that are tried again;
    `at_work` is how many tasks the backend has, `max_parallel` how many it may have at most.
    """

    tasks: Mapping[str, PlannedTask]
    rows: Mapping[str, TaskRow]
    last: Mapping[str, tuple[FailureReason | None, float | None]]
    backend: str
    driven: bool
    now: float
    at_work: int
    max_parallel: int | None = None


def is_submitted(row: TaskRow) -> bool:
    """Return whether the backend has an attempt of a task that has not ended."""
    return row.state in AT_WORK and row.submitted_at is not None


def waiting_words(row: TaskRow, scene: Scene) -> str:
    """Return why a task has not ended."""
    if row.state is TaskState.PENDING:
        return _not_started(row, scene)
    if row.state is TaskState.QUEUED and row.submitted_at is None:
        return _tried_again(row, scene)
    place = f"on {scene.backend}"
    return {
        TaskState.QUEUED: f"it is queued {place}",
        TaskState.PREPARING: f"it is being made ready {place}: its image, its files",
        TaskState.RUNNING: f"it is running {place}",
        TaskState.FINALIZING: "it has ended, and its outputs are being collected",
    }.get(row.state, f"{scene.backend} does not say how it is")


def waiting_facts(row: TaskRow, scene: Scene) -> Iterator[str]:
    """Yield what else the record tells of a task that has not ended."""
    if row.canceling:
        yield "somebody has asked for it to stop"
    if row.detail:
        yield row.detail
    if needed := _unfinished(row, scene):
        others = f" and {len(needed) - 1} more" if len(needed) > 1 else ""
        yield f"it waits for {needed[0]!r}{others}"
    if row.state is TaskState.QUEUED and row.submitted_at is None:
        yield from _next_try(row, scene)
    elif row.state is TaskState.RUNNING and row.started_at is not None:
        yield f"since {_moment(row.started_at, scene)}" + (f" on {row.node}" if row.node else "")
    elif row.submitted_at is not None:
        yield f"submitted {_moment(row.submitted_at, scene)}"


def _not_started(row: TaskRow, scene: Scene) -> str:
    needed = _unfinished(row, scene)
    if needed:
        return f"it waits for another task, which is {scene.rows[needed[0]].state}"
    if not scene.driven:
        return "it has not been started"
    if scene.max_parallel is not None and scene.at_work >= scene.max_parallel:
        return f"it waits for a place: max_parallel lets {scene.max_parallel} run at once"
    return "it is about to be started"


def _unfinished(row: TaskRow, scene: Scene) -> list[str]:
    """Return the tasks that a task which has not been started waits for."""
    if row.state is not TaskState.PENDING:
        return []
    needed = dict.fromkeys(link.task for link in scene.tasks[row.id].depends_on)
    return [task_id for task_id in needed if not scene.rows[task_id].state.final]


def _tried_again(row: TaskRow, scene: Scene) -> str:
    reason, _ended_at = scene.last.get(row.id, (None, None))
    after = f", which ended with {reason.value}" if reason else ""
    return f"it waits to be tried again after attempt {row.attempt - 1}{after}"


def _next_try(row: TaskRow, scene: Scene) -> Iterator[str]:
    reason, ended_at = scene.last.get(row.id, (None, None))
    task = scene.tasks[row.id]
    budget = budget_of(reason) if reason else Budget.NONE
    if budget is Budget.INTERRUPTIONS and ended_at is not None:
        left = ended_at + longest_backoff(row) - scene.now
        if left > 0:
            yield f"attempt {row.attempt} starts in {show_seconds(left)} at the latest"
    if budget is not Budget.NONE:
        yield f"paid from {budget_words(row, task)}"


def budget_words(row: TaskRow, task: PlannedTask) -> str:
    """Return how much of each budget is used."""
    return (
        f"retries {row.retries} of {task.retries} used, "
        f"interruptions {row.interruptions} of {task.interruptions} used"
    )


def _moment(at: float, scene: Scene) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(at))
    return f"{clock}, {show_seconds(max(scene.now - at, 0.0))} ago"
