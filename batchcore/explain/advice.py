"""What a reason means in plain words, and what to type next."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Sequence

from batchcore.explain.model import Advice
from batchcore.plan import PlannedTask
from batchcore.record import TaskRow
from batchcore.states import FailureReason, TaskState
from batchcore.units import show_bytes, show_seconds

_SIGNALLED = 128
_MOST_NAMED = 8
_AGAIN = "run it again"
_MENDED = "run it again once the cause is mended"

_WORDS: dict[FailureReason | None, str] = {
    FailureReason.EXIT_CODE: "the command ended with an error",
    FailureReason.START_FAILED: "the command could not be started",
    FailureReason.IMAGE: "the image could not be had",
    FailureReason.RESOURCE: "a resource could not be brought to the task",
    FailureReason.OUTPUT_MISSING: "the command succeeded, but an output was not written",
    FailureReason.OUTPUT_UNSAFE: "an output was refused: it is no plain file of the task's own",
    FailureReason.OUTPUT_UPLOAD: "the outputs could not be carried away",
    FailureReason.TIMEOUT: "it was stopped at its time limit",
    FailureReason.OUT_OF_MEMORY: "it ran out of memory",
    FailureReason.PREEMPTED: "its machine was taken away",
    FailureReason.NODE_LOST: "its machine was lost",
    FailureReason.DEPENDENCY: "it never started: a task that it waits for has not succeeded",
    FailureReason.QUOTA: "a quota leaves no machine for it",
    FailureReason.BACKEND: "the backend failed",
}

# What has to be changed in the job makes another job, which has a run of its own.
_CHANGES: dict[FailureReason | None, str] = {
    FailureReason.START_FAILED: "check that `command` names a program of the image or machine",
    FailureReason.RESOURCE: "check that the `source` of the resource is there and can be read",
    FailureReason.OUTPUT_MISSING: "let the command write the output, or name in `outputs` what "
    "it writes",
    FailureReason.OUTPUT_UNSAFE: "let the command write plain files inside its working directory",
    FailureReason.QUOTA: "ask for a higher quota, or for smaller or fewer machines",
}
_LOST = {FailureReason.PREEMPTED, FailureReason.NODE_LOST}
_SILENT = {FailureReason.IMAGE, FailureReason.QUOTA, FailureReason.RESOURCE, *_LOST}


def failure_words(row: TaskRow, task: PlannedTask) -> str:
    """Return why a task failed."""
    words = _WORDS.get(row.reason, "it failed")
    if row.reason is FailureReason.EXIT_CODE and row.exit_code is not None:
        words = f"the command ended with exit code {row.exit_code}{_signal_words(row.exit_code)}"
    if row.reason is FailureReason.TIMEOUT and task.timeout is not None:
        words += f" of {show_seconds(task.timeout)}"
    if row.reason is FailureReason.OUT_OF_MEMORY and isinstance(task.requirements.memory, int):
        words += f": it may use {show_bytes(task.requirements.memory)}"
    return words


def advice_on(
    rows: Sequence[TaskRow], task: PlannedTask, run: str, root: str, alike: int
) -> tuple[Advice, ...]:
    """Return what to do about tasks that ended for one cause; `task` is the first of them.

    `root` is the task for whose sake that one never started, empty where there is none. `alike`
    is how many tasks of the run ended with the same reason, whatever their cause.
    """
    first = rows[0]
    if first.state is TaskState.CANCELED:
        return (_again(_AGAIN, rows, run, alike),)
    if first.reason is FailureReason.DEPENDENCY:
        look = Advice("look at the task it waits for", f"batchcore explain {run} {root}")
        both = Advice("what is run again takes along what waits for it")
        return (look, both) if root else (both,)
    found: list[Advice] = []
    if first.reason not in _SILENT and first.attempt:
        found.append(Advice("read all that it wrote", f"batchcore logs {run} {first.id}"))
    if first.reason is FailureReason.IMAGE and task.image:
        pull = f"docker pull {shlex.quote(task.image)}"
        found.append(Advice("see whether this login can pull it, and check its name", pull))
    change = _change(first.reason, task)
    if change:
        found.append(Advice(change))
    found.append(_again(_AGAIN if first.reason in _LOST else _MENDED, rows, run, alike))
    return tuple(found)


def _change(reason: FailureReason | None, task: PlannedTask) -> str:
    if reason is FailureReason.TIMEOUT:
        return "if it needs longer, give it a longer `timeout` in the job, and run the job"
    if reason is FailureReason.OUT_OF_MEMORY:
        more = "give it more" if task.requirements.memory else "name what it needs"
        return f"{more} with `requirements.memory` in the job, and run the job"
    return _CHANGES.get(reason, "")


def _again(what: str, rows: Sequence[TaskRow], run: str, alike: int) -> Advice:
    """Choose these tasks and no others, by their ids where the reason would choose more."""
    more = len(rows) < alike
    if len(rows) == 1 or (more and len(rows) <= _MOST_NAMED):
        chosen = " ".join(f"--task {row.id}" for row in rows)
    else:
        chosen = f"--reason {rows[0].reason or TaskState.CANCELED.value}"
        what += f", with all {alike} that ended with that reason" if more else ""
    return Advice(what, f"batchcore retry {run} {chosen}")


def _signal_words(exit_code: int) -> str:
    try:
        return f" ({signal.Signals(exit_code - _SIGNALLED).name})"
    except ValueError:
        return ""
