"""What a replay found, as text: how the task ended then and now, and each thing that differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from batchcore.replay import Difference, OutputChange, Replay
from batchcore.report.run import failure_text
from batchcore.report.text import Marks, plural, printable
from batchcore.results import TaskResult
from batchcore.states import TaskState
from batchcore.units import show_bytes, show_seconds

_DIGITS = 12
_NAMED = 3


def replay_text(replay: Replay, marks: Marks) -> str:
    """Return a replay as lines for a person."""
    mark, word = (marks.good, "the same") if replay.same else (marks.bad, "different")
    where = f"{replay.backend}, in {printable(replay.image)}" if replay.image else replay.backend
    return "\n".join(
        [
            f"{mark} {printable(replay.task)} of {replay.run} on {where}: {word}",
            f"    then: {_end_text(replay.then)}",
            f"    now:  {_end_text(replay.now)}",
            *_resource_lines(replay),
            *_output_lines(replay.outputs),
            *_log_lines(replay),
        ]
    )


def _end_text(task: TaskResult) -> str:
    if task.state is TaskState.FAILED:
        return f"failed: {failure_text(task.reason, task.exit_code, task.duration, task.detail)}"
    after = "" if task.duration is None else f" after {show_seconds(task.duration)}"
    return f"{task.state}{after}"


def _resource_lines(replay: Replay) -> Iterator[str]:
    """Yield where the resources were taken from; those of the store are named."""
    stored = [printable(file.path) for file in replay.resources if file.origin == "store"]
    others = len(replay.resources) - len(stored)
    if others:
        yield f"    resources: {plural(others, 'file')} as before"
    if stored:
        names = ", ".join(stored[:_NAMED]) + (
            f" and {len(stored) - _NAMED} more" if len(stored) > _NAMED else ""
        )
        yield f"    resources changed or gone, taken from the run's store: {names}"


def _output_lines(outputs: Sequence[OutputChange]) -> Iterator[str]:
    same = sum(output.change == "same" for output in outputs)
    if same:
        yield f"    outputs: {plural(same, 'file')} the same"
    for output in outputs:
        if output.change != "same":
            yield f"    {output.change:9}  {printable(output.path)}  {_change_text(output)}"
            yield from _first_lines(output.first)


def _change_text(output: OutputChange) -> str:
    sides = [
        f"{show_bytes(size)} {digest[:_DIGITS]}"
        for size, digest in (
            (output.size_then, output.sha256_then),
            (output.size_now, output.sha256_now),
        )
        if size is not None
    ]
    return " -> ".join(sides)


def _first_lines(first: Difference | None) -> Iterator[str]:
    if first is None:
        return
    if first.line is None:
        yield f"      from byte {first.byte} on"
        return
    yield f"      line {first.line} then | {printable(first.then, keep=chr(9))}"
    yield f"      line {first.line} now  | {printable(first.now, keep=chr(9))}"


def _log_lines(replay: Replay) -> Iterator[str]:
    for log in replay.logs:
        for when, lines in (("then", log.then), ("now", log.now)):
            yield (
                f"    last lines of {log.stream} {when}:"
                if lines
                else (f"    nothing on {log.stream} {when}")
            )
            for line in lines:
                yield f"      | {printable(line, keep=chr(9))}"
