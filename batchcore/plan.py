"""From a job to a plan: defaults merged, resources expanded and hashed, every problem found."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchcore import paths, sources
from batchcore.errors import JobError, Problem, suggest
from batchcore.model import Dependency, Job, Mount, Output, Requirements, Resource, Task, When
from batchcore.sources import PlannedFile

DEFAULT_GRACE = 10.0
DEFAULT_RETRIES = 0
DEFAULT_INTERRUPTIONS = 5


class PlannedOutput(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An output with its destination fixed: a file, or a directory where `path` is a pattern."""

    path: str
    to: str
    when: When = "success"
    required: bool = True

    @property
    def is_pattern(self) -> bool:
        """Whether `to` is a directory."""
        return paths.has_wildcard(self.path)


class PlannedTask(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task with the job's defaults merged in and its files fixed.

    Times are seconds, sizes are bytes. `spec_hash` is a SHA-256 over everything that decides the
    task's result.
    """

    id: str
    command: tuple[str, ...]
    image: str | None = None
    env: dict[str, str] = {}
    secrets: tuple[str, ...] = ()
    requirements: Requirements = Requirements()
    timeout: float | None = None
    grace: float = DEFAULT_GRACE
    retries: int = DEFAULT_RETRIES
    interruptions: int = DEFAULT_INTERRUPTIONS
    depends_on: tuple[Dependency, ...] = ()
    files: tuple[PlannedFile, ...] = ()
    outputs: tuple[PlannedOutput, ...] = ()
    mounts: tuple[Mount, ...] = ()
    labels: dict[str, str] = {}
    user: str = "caller"
    spec_hash: str = ""


class Plan(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job made concrete; still knows no backend.

    `base` is the absolute directory that relative sources started from. `spec_hash` is the
    SHA-256 over the job's name and its tasks' hashes; two plans with the same one are the same
    work.
    """

    name: str
    base: str
    spec_hash: str
    tasks: tuple[PlannedTask, ...]
    backend_options: dict[str, dict[str, Any]] = {}
    max_parallel: int | None = None
    fail_fast: bool = False


def plan_job(job: Job, *, base: Path | None = None, origin: str = "") -> Plan:
    """Return the plan of a job; reads local files to hash them and creates nothing.

    `base` is where relative sources start, default the current directory; `origin` is the job
    file to name in problems. Raises `JobError` (permanent) with every problem found.
    """
    base = (base or Path.cwd()).absolute()
    problems = [*_job_problems(job), *_dependency_problems(job.tasks)]
    hashes = sources.FileHashes()
    planned: list[PlannedTask] = []
    for index, task in enumerate(job.tasks):
        found: list[Problem] = []
        planned.append(_plan_task(job, task, base, hashes, found))
        problems += [replace(p, key=f"tasks[{index}].{p.key}".rstrip(".")) for p in found]
    problems += _destination_problems(planned)
    if problems:
        raise JobError(replace(p, file=p.file or origin) for p in problems)
    digest = hashlib.sha256(job.name.encode())
    for planned_task in planned:
        digest.update(planned_task.spec_hash.encode())
    return Plan(
        name=job.name,
        base=str(base),
        spec_hash=digest.hexdigest(),
        tasks=tuple(planned),
        backend_options=job.backend_options,
        max_parallel=job.max_parallel,
        fail_fast=job.fail_fast,
    )


def _plan_task(
    job: Job, task: Task, base: Path, hashes: sources.FileHashes, problems: list[Problem]
) -> PlannedTask:
    """Merge a task with its job; what is wrong goes into `problems` and is left out."""
    argv = task.argv or job.argv
    if argv is None:
        problems.append(
            Problem(
                code="BC2202",
                reason=f"task {task.id!r} has no command",
                hint='give the task or the job command = ["python3", "/worker.py"]',
                key="command",
            )
        )
    planned = PlannedTask(
        id=task.id,
        command=argv or ("",),
        image=task.image or job.image,
        env={**job.env, **task.env},
        secrets=tuple(dict.fromkeys((*job.secrets, *task.secrets))),
        requirements=_merge_requirements(job.requirements, task.requirements),
        timeout=_first(task.timeout, job.timeout),
        grace=float(_first(task.grace, job.grace) or DEFAULT_GRACE),
        retries=_number(task.retries, job.retries, DEFAULT_RETRIES),
        interruptions=_number(task.interruptions, job.interruptions, DEFAULT_INTERRUPTIONS),
        depends_on=task.dependencies,
        files=_plan_files((*job.resources, *task.resources), base, hashes, problems),
        outputs=_plan_outputs(task.id, (*job.output_values, *task.output_values)),
        mounts=_last_by_path((*job.mounts, *task.mounts), lambda mount: mount.path),
        labels={**job.labels, **task.labels},
        user=task.user or job.user or "caller",
    )
    return replace(planned, spec_hash=_spec_hash(planned))


def _spec_hash(task: PlannedTask) -> str:
    """Hash what decides the result; where a file came from and how often to try do not."""
    files = tuple(replace(f, source=None, content=None) for f in task.files)
    decisive = replace(task, files=files, retries=0, interruptions=0, labels={}, spec_hash="")
    return hashlib.sha256(msgspec.json.encode(decisive, order="sorted")).hexdigest()


def _plan_files(
    resources: Iterable[Resource], base: Path, hashes: sources.FileHashes, problems: list[Problem]
) -> tuple[PlannedFile, ...]:
    files: dict[str, PlannedFile] = {}
    for resource in _last_by_path(resources, lambda r: r.path):
        try:
            found = sources.expand(resource, base, hashes)
        except JobError as exc:
            key = f"resources[{resource.path}]"
            problems += [replace(p, key=f"{key}.{p.key}") for p in exc.problems]
            continue
        for file in found:
            other = files.setdefault(paths.folded(file.path), file)
            if other is not file:
                problems.append(
                    Problem(
                        code="BC2203",
                        reason=f"two resources land at {file.path!r}",
                        hint="give one of them another path; names differ in more than case",
                        key=f"resources[{resource.path}].path",
                    )
                )
    return tuple(files.values())


def _plan_outputs(task_id: str, outputs: Iterable[Output]) -> tuple[PlannedOutput, ...]:
    planned = []
    for output in _last_by_path(outputs, lambda o: o.path):
        default = task_id if paths.has_wildcard(output.path) else f"{task_id}/{output.path}"
        planned.append(
            PlannedOutput(
                path=output.path,
                to=output.to or default,
                when=output.when,
                required=output.required,
            )
        )
    return tuple(planned)


def _job_problems(job: Job) -> list[Problem]:
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
        other = seen.setdefault(task.id.casefold(), task.id)
        if other is not task.id:
            problems.append(
                Problem(
                    code="BC2203",
                    reason=f"task id {task.id!r} is taken"
                    + ("" if other == task.id else f" by {other!r}: case does not count"),
                    hint=f'write "{task.id[:60]}-{index}", or another id',
                    key=f"tasks[{index}].id",
                )
            )
    return problems


def _dependency_problems(tasks: Iterable[Task]) -> list[Problem]:
    tasks = list(tasks)
    links = {task.id: [d.task for d in task.dependencies] for task in tasks}
    problems = []
    for index, task in enumerate(tasks):
        for missing in (d for d in links[task.id] if d not in links):
            problems.append(
                Problem(
                    code="BC2204",
                    reason=f"task {task.id!r} waits for {missing!r}, which is not in the job",
                    hint=suggest(missing, links),
                    key=f"tasks[{index}].depends_on",
                )
            )
    if not problems and (cycle := _cycle(links)):
        problems.append(
            Problem(
                code="BC2204",
                reason=f"tasks wait for each other: {' -> '.join(cycle)}",
                hint="remove one of these dependencies",
                key="tasks",
            )
        )
    return problems


def _cycle(links: dict[str, list[str]]) -> list[str]:
    """Return the ids of a cycle, or nothing; iterative, as a chain may be 100,000 long."""
    finished: set[str] = set()
    for start in links:
        trail: dict[str, int] = {}
        stack = [(start, iter(links[start]))]
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


def _destination_problems(tasks: Iterable[PlannedTask]) -> list[Problem]:
    """Find two outputs that name one file, and a file where another output has a directory."""
    tasks = list(tasks)
    files: dict[str, str] = {}
    problems = []
    for index, task in enumerate(tasks):
        for output in (o for o in task.outputs if not o.is_pattern):
            place = paths.folded(output.to)
            if place in files:
                problems.append(_destination_problem(index, output, files[place]))
            else:
                files[place] = task.id
    for index, task in enumerate(tasks):
        for output in task.outputs:
            parts = paths.folded(output.to).split("/")
            ancestors = ["/".join(parts[:n]) for n in range(1, len(parts) + output.is_pattern)]
            problems += [
                _destination_problem(index, output, files[a]) for a in ancestors if a in files
            ]
    return problems


def _destination_problem(index: int, output: PlannedOutput, owner: str) -> Problem:
    return Problem(
        code="BC2203",
        reason=f"the output {output.to!r} would overwrite one of task {owner!r}",
        hint="give each output a place of its own; the default is <task id>/<path>",
        key=f"tasks[{index}].outputs",
    )


Value = TypeVar("Value")


def _last_by_path(values: Iterable[Value], path: Callable[[Value], str]) -> tuple[Value, ...]:
    return tuple({path(value): value for value in values}.values())


def _merge_requirements(default: Requirements, own: Requirements) -> Requirements:
    return Requirements(
        cpus=_first(own.cpus, default.cpus),
        memory=_first(own.memory, default.memory),
        disk=_first(own.disk, default.disk),
        gpus=_first(own.gpus, default.gpus),
    )


def _first(own: Any, default: Any) -> Any:
    return default if own is None else own


def _number(own: int | None, default: int | None, fallback: int) -> int:
    return own if own is not None else default if default is not None else fallback
