"""From a job to a plan: defaults merged, resources expanded and hashed, every problem found."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchcore import paths
from batchcore.errors import JobError, Problem
from batchcore.model import Dependency, Job, Mount, Output, Requirements, Resource, Task, When
from batchcore.plan import sources
from batchcore.plan.relations import dependency_problems, id_problems, place_problems
from batchcore.plan.sources import PlannedFile

__all__ = [
    "Dependency",
    "Mount",
    "Plan",
    "PlannedFile",
    "PlannedOutput",
    "PlannedTask",
    "Requirements",
    "plan_job",
]

DEFAULT_GRACE = 10.0
DEFAULT_RETRIES = 0
DEFAULT_INTERRUPTIONS = 5
_NO_REQUIREMENTS = Requirements()


class PlannedOutput(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An output with its destination fixed: a file, or a directory where `path` is a pattern."""

    path: str
    to: str
    when: When = "success"
    required: bool = True

    @property
    def is_pattern(self) -> bool:
        """Whether `to` is a directory."""
        return paths.has_wildcard(self.path)


class PlannedTask(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
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
    problems = [*id_problems(job), *dependency_problems(job.tasks)]
    expanded = _Expanded(base, job.resources)
    planned: list[PlannedTask] = []
    for index, task in enumerate(job.tasks):
        found: list[Problem] = []
        planned.append(_plan_task(job, task, expanded, found))
        problems += expanded.problems
        expanded.problems.clear()
        problems += [replace(p, key=f"tasks[{index}].{p.key}".rstrip(".")) for p in found]
    problems += place_problems(planned)
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


class _Expanded:
    """The files of each resource, looked up once however many tasks have it.

    `problems` are those with the job's own resources.
    """

    def __init__(self, base: Path, shared: Iterable[Resource]) -> None:
        self.problems: list[Problem] = []
        self._base = base
        self._shared = frozenset(shared)
        self._hashes = sources.FileHashes()
        self._known: dict[Resource, list[PlannedFile]] = {}

    def files(self, resource: Resource, problems: list[Problem]) -> list[PlannedFile]:
        """Return a resource's files; a problem with it is told the first time alone."""
        if resource not in self._known:
            self._known[resource] = []
            try:
                self._known[resource] = sources.expand(resource, self._base, self._hashes)
            except JobError as exc:
                key = f"resources[{resource.path}]"
                told = self.problems if resource in self._shared else problems
                told += [replace(p, key=f"{key}.{p.key}") for p in exc.problems]
        return self._known[resource]


def _plan_task(job: Job, task: Task, expanded: _Expanded, problems: list[Problem]) -> PlannedTask:
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
    env = _merged(job.env, task.env)
    secrets = tuple(dict.fromkeys((*job.secrets, *task.secrets)))
    problems += [
        Problem(
            code="BC2203",
            reason=f"{name} is both a secret and in env",
            hint="keep one",
            key="secrets",
        )
        for name in secrets
        if name in env
    ]
    mounts = _overlaid(job.mounts, task.mounts, lambda mount: mount.path)
    problems += _mount_problems(mounts)
    planned = PlannedTask(
        id=task.id,
        command=argv or ("",),
        image=task.image or job.image,
        env=env,
        secrets=secrets,
        requirements=_merge_requirements(job.requirements, task.requirements),
        timeout=_first(task.timeout, job.timeout),
        grace=float(_first(task.grace, job.grace) or DEFAULT_GRACE),
        retries=_number(task.retries, job.retries, DEFAULT_RETRIES),
        interruptions=_number(task.interruptions, job.interruptions, DEFAULT_INTERRUPTIONS),
        depends_on=task.dependencies,
        files=_plan_files(
            _overlaid(job.resources, task.resources, lambda resource: resource.path),
            expanded,
            problems,
        ),
        outputs=_plan_outputs(
            task.id, _overlaid(job.output_values, task.output_values, lambda output: output.path)
        ),
        mounts=mounts,
        labels=_merged(job.labels, task.labels),
        user=task.user or job.user or "caller",
    )
    try:
        return replace(planned, spec_hash=_spec_hash(planned))
    except UnicodeEncodeError as exc:
        half = exc.object[exc.start : exc.end]
        reason = f"task {task.id!r} or its job has a text with half a character, {half!r}"
        hint = "often part of a file name that is not UTF-8: rename it"
        problems.append(Problem(code="BC2001", reason=reason, hint=hint))
        return planned


def _mount_problems(mounts: Iterable[Mount]) -> Iterator[Problem]:
    seen: set[str] = set()
    for mount in mounts:
        if mount.path in seen:
            yield Problem(
                code="BC2203",
                reason=f"two mounts are at {mount.path!r}",
                hint="give one of them another path",
                key="mounts",
            )
        seen.add(mount.path)


def _spec_hash(task: PlannedTask) -> str:
    """Hash what decides the result; where a file came from and how often to try do not."""
    files = tuple(replace(f, source=None, content=None) for f in task.files)
    decisive = replace(task, files=files, retries=0, interruptions=0, labels={}, spec_hash="")
    return hashlib.sha256(msgspec.json.encode(decisive, order="sorted")).hexdigest()


def _plan_files(
    resources: Iterable[Resource], expanded: _Expanded, problems: list[Problem]
) -> tuple[PlannedFile, ...]:
    files: dict[str, PlannedFile] = {}
    directories: set[str] = set()
    for resource in resources:
        for file in expanded.files(resource, problems):
            place = paths.folded(file.path)
            parents = paths.above(place)
            reason = ""
            if place in files:
                reason = f"two resources land at {file.path!r}"
            elif place in directories or any(parent in files for parent in parents):
                reason = f"a resource lands at {file.path!r}, where another has a directory or file"
            if reason:
                problems.append(
                    Problem(
                        code="BC2203",
                        reason=reason,
                        hint="give one of them another path; names differ in more than case",
                        key=f"resources[{resource.path}].path",
                    )
                )
                continue
            files[place] = file
            directories.update(parents)
    return tuple(files.values())


def _plan_outputs(task_id: str, outputs: Iterable[Output]) -> tuple[PlannedOutput, ...]:
    planned = []
    for output in outputs:
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


Value = TypeVar("Value")


def _merged(defaults: dict[str, str], own: dict[str, str]) -> dict[str, str]:
    """Return the job's texts and the task's; of many tasks without any it is one table."""
    return {**defaults, **own} if own else defaults


def _overlaid(
    defaults: Sequence[Value], own: Sequence[Value], path: Callable[[Value], str]
) -> tuple[Value, ...]:
    """Return the job's values and the task's, which replace those of the job at the same path."""
    if not (defaults and own):
        return tuple(own or defaults)
    replaced = {path(value) for value in own}
    return (*(value for value in defaults if path(value) not in replaced), *own)


def _merge_requirements(default: Requirements, own: Requirements) -> Requirements:
    if own == _NO_REQUIREMENTS:
        return default
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
