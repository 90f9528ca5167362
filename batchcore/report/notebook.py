"""Jobs, runs and their tasks as a notebook shows them: a line and a short table.

The HTML has no colours, fonts or scripts of its own, so it looks like what is around it, on a
light page and on a dark one. Everything that comes from a job or a log is escaped.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from html import escape

from batchcore.model import Job, Task
from batchcore.report.run import counts_text
from batchcore.report.text import cut, plural, printable
from batchcore.results import RunReport, TaskResult
from batchcore.states import TaskState
from batchcore.units import show_bytes, show_seconds

ROWS = 10
_CELL = 80
_LEFT = ' style="text-align: left"'


def job_bundle(job: Job) -> dict[str, str]:
    """Return a job: its name, its image, its first tasks with what they run and leave."""
    about = [job.name, plural(len(job.tasks), "task"), f"image {job.image}" if job.image else ""]
    rows = [_task_row(task, job) for task in job.tasks[:ROWS]]
    heads = ("task", "command", "inputs", "outputs")
    html = _section(about, heads, rows, len(job.tasks) - len(rows))
    return {"text/plain": f"<Job {_line(about)}>", "text/html": html}


def run_bundle(report: RunReport) -> dict[str, str]:
    """Return a run: how far it is, and its first tasks, those that failed before all others."""
    total, done = sum(report.counts.values()), report.counts.get(TaskState.SUCCEEDED, 0)
    about = [report.run, report.backend, report.state, f"{done:,}/{total:,} succeeded"]
    about.append(", ".join(counts_text(report.counts).split("  ")))
    tasks = sorted(report.tasks, key=lambda task: task.state is not TaskState.FAILED)[:ROWS]
    heads = ("task", "state", "why", "attempt", "time", "outputs")
    html = _section(about, heads, map(_result_row, tasks), total - len(tasks))
    return {"text/plain": f"<Run {_line(about)}>", "text/html": html}


def result_html(task: TaskResult) -> str:
    """Return a task: how it ended, and the files that it left."""
    about = [task.id, task.state, _why(task), _time(task)]
    rows = [(o.path, show_bytes(o.size), str(o.file)) for o in task.outputs[:ROWS]]
    return _section(about, ("output", "size", "file"), rows, len(task.outputs) - len(rows))


def _task_row(task: Task, job: Job) -> tuple[str, ...]:
    argv = task.shell or shlex.join(task.argv or ()) or job.shell or shlex.join(job.argv or ())
    inputs = [resource.path for resource in (*job.resources, *task.resources)]
    outputs = [output.path for output in (*job.output_values, *task.output_values)]
    return task.id, argv, ", ".join(dict.fromkeys(inputs)), ", ".join(dict.fromkeys(outputs))


def _result_row(task: TaskResult) -> tuple[str, ...]:
    outputs = ", ".join(output.path for output in task.outputs[:ROWS])
    return task.id, task.state, _why(task), str(task.attempt), _time(task), outputs


def _why(task: TaskResult) -> str:
    code = "" if task.exit_code in (None, 0) else f"exit {task.exit_code}"
    reason = "" if code else (task.reason or "").replace("_", " ")
    return "   ".join(part for part in (code, reason, task.detail) if part)


def _time(task: TaskResult) -> str:
    return "" if task.duration is None else show_seconds(task.duration)


def _line(about: Iterable[str]) -> str:
    return " · ".join(printable(part) for part in about if part)


def _section(
    about: Sequence[str], heads: Sequence[str], rows: Iterable[Sequence[str]], hidden: int
) -> str:
    first, *others = [_text(part) for part in about if part]
    title = " · ".join([f"<strong>{first}</strong>", *others])
    body = "".join(f"<tr>{_cells('td', row)}</tr>" for row in rows)
    table = f"<table><thead><tr>{_cells('th', heads)}</tr></thead><tbody>{body}</tbody></table>"
    more = f"<div>(+ {hidden:,} not shown)</div>" if hidden > 0 else ""
    return f"<div><div>{title}</div>{table if body else ''}{more}</div>"


def _cells(tag: str, texts: Iterable[str]) -> str:
    return "".join(f"<{tag}{_LEFT}>{_text(text)}</{tag}>" for text in texts)


def _text(text: str) -> str:
    return escape(cut(printable(text), _CELL))
