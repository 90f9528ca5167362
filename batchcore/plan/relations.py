"""What can be wrong between the tasks of a job: ids, dependencies, the places of outputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from batchcore import paths
from batchcore.errors import Problem, suggest
from batchcore.model import Job, Task

if TYPE_CHECKING:
    from batchcore.plan.plan import PlannedOutput, PlannedTask

_HINTED = 20
_SHOWN = 5


def id_problems(job: Job) -> list[Problem]:
    """Find a job without tasks, and two tasks that have one id."""
    problems = []
    if not job.tasks:
        problems.append(
            Problem(
                code="BC2202",
                reason=f"job {job.name!r} has no tasks",
                hint="give it at least one task with an id",
                key="tasks",
            )
        )
    seen: dict[str, str] = {}
    for index, task in enumerate(job.tasks):
        folded = task.id.casefold()
        if folded not in seen:
            seen[folded] = task.id
            continue
        other = seen[folded]
        problems.append(
            Problem(
                code="BC2203",
                reason=f"task id {task.id!r} is taken"
                + ("" if other == task.id else f" by {other!r}: case does not count"),
                hint=f'write "{task.id[:56]}-{index}", or another id',
                key=f"tasks[{index}].id",
            )
        )
    return problems


def dependency_problems(tasks: Sequence[Task]) -> list[Problem]:
    """Find tasks that wait for one that is not there, or for each other."""
    links = {task.id: [d.task for d in task.dependencies] for task in tasks}
    hints: dict[str, str] = {}
    problems = []
    for index, task in enumerate(tasks):
        for missing in (d.task for d in task.dependencies if d.task not in links):
            # Looking for a similar id among 10,000 takes its time: not for each of 10,000 slips.
            if missing not in hints:
                hints[missing] = suggest(missing, links) if len(hints) < _HINTED else ""
            problems.append(
                Problem(
                    code="BC2204",
                    reason=f"task {task.id!r} waits for {missing!r}, which is not in the job",
                    hint=hints[missing],
                    key=f"tasks[{index}].depends_on",
                )
            )
    if not problems and (cycle := _cycle(links)):
        problems.append(
            Problem(
                code="BC2204",
                reason=f"tasks wait for each other: {_shortened(cycle)}",
                hint="remove one of these dependencies",
                key="tasks",
            )
        )
    return problems


def _shortened(cycle: list[str]) -> str:
    if len(cycle) > 2 * _SHOWN:
        cycle = [*cycle[:_SHOWN], "…", *cycle[-_SHOWN:]]
    return " -> ".join(cycle)


def _cycle(links: dict[str, list[str]]) -> list[str]:
    """Return the ids of a cycle, or nothing; iterative, as a chain may be 100,000 long."""
    finished: set[str] = set()
    for start, first in links.items():
        trail: dict[str, int] = {}
        stack = [(start, iter(first))]
        while stack:
            node, following = stack[-1]
            trail.setdefault(node, len(trail))
            step = next((n for n in following if n not in finished), None)
            if step is None:
                finished.add(node)
                trail.pop(node)
                stack.pop()
            elif step in trail:
                ids = list(trail)
                return [*ids[ids.index(step) :], step]
            else:
                stack.append((step, iter(links[step])))
    return []


def place_problems(tasks: Iterable[PlannedTask]) -> list[Problem]:
    """Find two outputs that name one file, and a file where another output has a directory."""
    tasks = list(tasks)
    files: dict[str, str] = {}
    problems = []
    for index, task in enumerate(tasks):
        for output in (o for o in task.outputs if not o.is_pattern):
            place = paths.folded(output.to)
            if place in files:
                problems.append(_place_problem(index, output, files[place]))
            else:
                files[place] = task.id
    for index, task in enumerate(tasks):
        for output in task.outputs:
            place = paths.folded(output.to)
            taken = [*paths.above(place), place] if output.is_pattern else paths.above(place)
            problems += [_place_problem(index, output, files[a]) for a in taken if a in files]
    return problems


def _place_problem(index: int, output: PlannedOutput, owner: str) -> Problem:
    return Problem(
        code="BC2203",
        reason=f"the output {output.to!r} would overwrite one of task {owner!r}",
        hint="give each output a place of its own; the default is <task id>/<path>",
        key=f"tasks[{index}].outputs",
    )
