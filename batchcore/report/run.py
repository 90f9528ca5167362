"""One run, and a list of runs, as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from batchcore.report.text import Marks, ago, plural, printable, table
from batchcore.results import RunReport, TaskResult
from batchcore.states import FailureReason, TaskState
from batchcore.units import show_seconds

_HEADS = ("TASK", "STATE", "REASON", "EXIT", "TRY", "TIME", "DETAIL")


class RunLine(Struct, frozen=True, kw_only=True):
    """One line of a list of runs; `state` is ``damaged`` where its record cannot be read."""

    run: str
    state: str
    directory: Path
    backend: str = ""
    created_at: float | None = None
    counts: dict[str, int] = {}


def failure_text(
    reason: FailureReason | None, exit_code: int | None, duration: float | None, detail: str
) -> str:
    """Return why a task failed, in a line: ``exit 1 after 2.1 s   ValueError: …``."""
    if reason is FailureReason.EXIT_CODE and exit_code is not None:
        what = f"exit {exit_code}"
    else:
        what = (reason or "failed").replace("_", " ")
    after = "" if duration is None else f" after {show_seconds(duration)}"
    return f"{what}{after}" + (f"   {printable(detail)}" if detail else "")


def counts_text(counts: Mapping[str, int]) -> str:
    """Return how many tasks are in each state, those that need attention first."""
    order = [TaskState.FAILED, TaskState.CANCELED, TaskState.UNKNOWN, TaskState.RUNNING]
    order += [state for state in TaskState if state not in order]
    return "  ".join(
        f"{counts[state]} {state.value}"
        for state in order
        if counts.get(state) and state is not TaskState.SUCCEEDED
    )


def summary_text(report: RunReport, created_at: float, now: float) -> str:
    """Return a run in one line."""
    done = report.counts.get(TaskState.SUCCEEDED, 0)
    parts = [
        report.run,
        report.backend,
        report.state,
        f"{done}/{sum(report.counts.values())}",
        counts_text(report.counts),
        f"begun {ago(now - created_at)}",
    ]
    return "  ".join(part for part in parts if part)


def tasks_text(tasks: Sequence[TaskResult], now: float, width: int | None = None) -> str:
    """Return a table of tasks, empty where there are none."""
    return table(_HEADS, [_row(task, now) for task in tasks], width) if tasks else ""


def hidden_text(report: RunReport) -> str:
    """Return how many tasks a report of failed ones leaves out, and how to see them."""
    failed = report.counts.get(TaskState.FAILED, 0)
    hidden, others = failed - len(report.tasks), sum(report.counts.values()) - failed
    lines = [f"(+ {hidden} failed ones not shown; --failed for them)"] if hidden else []
    lines += [f"(+ {others} not shown; --tasks for all)"] if others else []
    return "\n".join(lines)


def closing_text(report: RunReport, seconds: float | None, place: str, marks: Marks) -> str:
    """Return how a run ended, in a line."""
    count = report.counts.get
    good, bad = count(TaskState.SUCCEEDED, 0), count(TaskState.FAILED, 0)
    stopped = count(TaskState.CANCELED, 0)
    took = "" if seconds is None else f" in {show_seconds(seconds)}"
    mark = marks.good if report.state == "succeeded" else marks.bad
    words = [f"{good:,} succeeded", f"{bad:,} failed" if bad else ""]
    words.append(f"{stopped:,} canceled" if stopped else "")
    said = ", ".join(word for word in words if word)
    if report.state == "succeeded":
        said = f"{plural(good, 'task')} succeeded"
    return f"{mark} {said}{took} {marks.dot} results in {place}"


def runs_text(runs: Iterable[RunLine], now: float, width: int | None = None) -> str:
    """Return a list of runs as a table."""
    rows = [
        (
            line.run,
            line.backend or "-",
            line.state,
            f"{line.counts.get(TaskState.SUCCEEDED, 0)}/{sum(line.counts.values())}",
            "-" if line.created_at is None else ago(now - line.created_at),
        )
        for line in runs
    ]
    return table(("RUN", "BACKEND", "STATE", "DONE", "BEGUN"), rows, width)


def _row(task: TaskResult, now: float) -> tuple[str, ...]:
    time = task.duration
    if time is None and task.started_at is not None and not task.state.final:
        time = now - task.started_at
    return (
        task.id,
        task.state,
        task.reason or "-",
        "-" if task.exit_code is None else str(task.exit_code),
        str(task.attempt),
        "-" if time is None else show_seconds(time),
        task.detail,
    )
