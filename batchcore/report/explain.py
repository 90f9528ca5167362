"""Why the tasks of a run are where they are, as text: one idea a line, failures first."""

from __future__ import annotations

from collections.abc import Iterator

from batchcore.explain import AttemptEnd, Explanation, Group
from batchcore.report.run import counts_text, failure_text
from batchcore.report.text import Marks, cut, plural, printable
from batchcore.states import TaskState

_LONGEST = 200


def explanation_text(explanation: Explanation, marks: Marks) -> str:
    """Return an explanation as lines for a person."""
    counts = explanation.counts
    parts = [
        explanation.run,
        explanation.backend,
        explanation.state,
        f"{counts.get(TaskState.SUCCEEDED, 0)}/{sum(counts.values())}",
        counts_text(counts),
    ]
    lines = ["  ".join(part for part in parts if part)]
    lines += [f"note: {printable(note)}" for note in explanation.notes]
    for group in explanation.groups:
        lines += _group_lines(group, marks)
    return "\n".join(lines)


def _group_lines(group: Group, marks: Marks) -> Iterator[str]:
    mark = marks.bad if group.state is TaskState.FAILED else marks.dot
    first = printable(group.tasks[0])
    if len(group.tasks) == 1:
        yield f"{mark} {first}: {printable(group.cause)}"
    else:
        yield f"{mark} {plural(len(group.tasks), 'task')}: {printable(group.cause)}; first: {first}"
    for fact in group.facts:
        yield f"    {printable(fact)}"
    for attempt in group.attempts:
        last = attempt is group.attempts[-1] and group.state.final
        yield f"    attempt {attempt.attempt}: {_attempt_text(attempt, told=last)}"
    if group.log is not None:
        yield f"    last lines of {group.log.stream}:"
        for line in group.log.lines:
            yield f"      | {cut(printable(line, keep=chr(9)), _LONGEST)}"
    for advice in group.advice:
        command = f":  {printable(advice.command)}" if advice.command else ""
        yield f"    next: {advice.what}{command}"


def _attempt_text(attempt: AttemptEnd, *, told: bool) -> str:
    """Return how an attempt ended; its detail is left out where it has been `told`."""
    if attempt.state is not TaskState.FAILED:
        return attempt.state.value
    started, ended = attempt.started_at, attempt.ended_at
    duration = None if started is None or ended is None else max(ended - started, 0.0)
    detail = "" if told else attempt.detail
    text = failure_text(attempt.reason, attempt.exit_code, duration, detail)
    return f"{text}  on {printable(attempt.node)}" if attempt.node else text
