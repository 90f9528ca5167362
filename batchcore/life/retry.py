"""Some tasks of a run get new attempts, chosen by id and by the reason of their failure."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing

from msgspec.structs import replace

from batchcore.driver import Policy
from batchcore.driver.drive import Leave, read_manner, save_manner
from batchcore.errors import JobError, NotFound, UsageError, suggest
from batchcore.events import Observer
from batchcore.features import unset_secrets
from batchcore.life.manage import go_on
from batchcore.plan import PlannedTask
from batchcore.record import Record, TaskRow
from batchcore.record.resume import reopen
from batchcore.run import Run
from batchcore.states import FailureReason, TaskState

CANCELED = TaskState.CANCELED.value
REASONS = (*(reason.value for reason in FailureReason), CANCELED)
"""What a choice by reason may name; a canceled task has no reason and is named by its state."""


def retry_run(
    run: Run,
    patterns: Sequence[str] = (),
    reasons: Sequence[str] = (),
    observers: Iterable[Observer] = (),
    *,
    leave: Leave | None = None,
) -> frozenset[str]:
    """Run some failed tasks again and return their ids; where there are none, do nothing.

    `patterns` of ids and `reasons` choose as `tasks_to_retry` says, and all other tasks stay as
    they ended. A run that has not ended, as an earlier retry was interrupted perhaps, is driven to
    its end in any case. Raises what `tasks_to_retry` and `batchcore.life.manage.go_on` raise;
    before a task is touched, where the choice is wrong, another process drives the run or a secret
    is not set.
    """
    with closing(Record.resume(run.directory)) as record, record.errors():
        chosen = reopen_chosen(record, patterns, reasons, environ=os.environ)
        ended = record.has_ended
    if not ended:
        go_on(run, observers, leave=leave)
    return chosen


def _forget_fail_fast(record: Record) -> None:
    """Let a run that stops at the first failure go on beside the failures that stay."""
    manner = read_manner(record)
    policy = manner.policy if manner else Policy(max_parallel=record.header.plan.max_parallel)
    save_manner(record, replace(policy, fail_fast=False), cwd=manner.cwd if manner else "")


def reopen_chosen(
    record: Record,
    patterns: Sequence[str] = (),
    reasons: Collection[str] = (),
    *,
    environ: Mapping[str, str],
) -> frozenset[str]:
    """Give the tasks of `tasks_to_retry` new attempts and fresh budgets, and return their ids.

    All other tasks stay as they are, and where none is chosen nothing is changed. `environ` is
    where their secrets must be: raises `JobError` for one that is not set, and what
    `tasks_to_retry` raises.
    """
    plan = record.header.plan
    rows = {row.id: row for row in record.rows()}
    chosen = tasks_to_retry(plan.tasks, rows, patterns, reasons)
    problems = list(unset_secrets(plan, environ, rows.keys() - chosen))
    if problems:
        raise JobError(problems)
    if chosen:
        _forget_fail_fast(record)
        reopen(record, chosen=chosen)
    return chosen


def require_reasons(reasons: Iterable[str]) -> None:
    """Raise `UsageError` for the first word that is none of `REASONS`, with the nearest one."""
    for reason in reasons:
        if reason not in REASONS:
            raise UsageError(
                f"there is no reason {reason!r}", hint=suggest(reason, REASONS), code="BC2002"
            )


def matching_tasks(task_ids: Sequence[str], patterns: Sequence[str]) -> frozenset[str]:
    """Return the ids that one of the patterns names; raises `NotFound` for one that names none."""
    named: set[str] = set()
    for pattern in patterns:
        found = {pattern} if pattern in task_ids else fnmatch.filter(task_ids, pattern)
        if not found:
            raise NotFound(
                f"no task matches {pattern!r}", hint=suggest(pattern, task_ids), code="BC5001"
            )
        named.update(found)
    return frozenset(named)


def tasks_to_retry(
    tasks: Sequence[PlannedTask],
    rows: Mapping[str, TaskRow],
    patterns: Sequence[str] = (),
    reasons: Collection[str] = (),
) -> frozenset[str]:
    """Return the tasks that get new attempts, empty where there are none.

    These are the failed ones that `patterns` and `reasons` choose, default all, and those that
    failed only because they wait for one of them. A canceled task is chosen where a pattern or
    the reason ``canceled`` names it. Raises `NotFound` for a pattern that matches no task, and
    `UsageError` for an unknown reason, or a chosen task that waits for one that is left failed.
    """
    require_reasons(reasons)
    named = matching_tasks([task.id for task in tasks], patterns)

    def is_asked(row: TaskRow) -> bool:
        if patterns and row.id not in named:
            return False
        if row.state is TaskState.CANCELED:
            return CANCELED in reasons or bool(patterns and not reasons)
        return row.state is TaskState.FAILED and (not reasons or row.reason in reasons)

    asked = {row.id for row in rows.values() if is_asked(row)}
    blocked = {row.id for row in rows.values() if row.reason is FailureReason.DEPENDENCY}
    chosen = asked | blocked
    for task_id, cause in _never_starting(tasks, rows, chosen):
        if task_id in asked and (patterns or reasons):
            raise UsageError(
                f"task {task_id!r} cannot run again: it waits for {cause!r}, "
                f"which {rows[cause].state}",
                hint=f"run that one again too: add --task {cause}",
                code="BC2204",
            )
    return frozenset(chosen) if asked & chosen else frozenset()


def _never_starting(
    tasks: Sequence[PlannedTask], rows: Mapping[str, TaskRow], chosen: set[str]
) -> Iterable[tuple[str, str]]:
    """Take out of `chosen` what waits for a task that stays as it ended; yield it with that one."""
    waiting: dict[str, list[str]] = {}
    for task in tasks:
        for link in task.depends_on:
            if link.on == "success":
                waiting.setdefault(link.task, []).append(task.id)
    staying = [
        row.id
        for row in rows.values()
        if row.id not in chosen and row.state in {TaskState.FAILED, TaskState.CANCELED}
    ]
    while staying:
        cause = staying.pop()
        for task_id in waiting.get(cause, ()):
            if task_id in chosen:
                chosen.discard(task_id)
                staying.append(task_id)
                yield task_id, cause
