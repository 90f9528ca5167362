"""One task of an earlier run as a job of its own: its backend, its resources, its directory."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from batchcore.backend import Backend, Check
from batchcore.errors import Conflict, EnvironmentNotReady, JobError, NotFound, Problem
from batchcore.features import unset_secrets, unsupported_requests
from batchcore.life.identity import identity_of, place_in
from batchcore.life.start import Options, Prepared
from batchcore.model import Job
from batchcore.plan import Plan
from batchcore.plugins import Plugins
from batchcore.record import Header
from batchcore.record.rundir import make_directory
from batchcore.replay.images import check_pinned, require_engine
from batchcore.replay.model import TakenFile
from batchcore.replay.resources import take_resources
from batchcore.run import Run
from batchcore.settings import Settings, job_settings, resolve
from batchcore.transfer.remove import remove_tree

CONTAINERS = "local-docker"
PROCESSES = "local-process"

_SIZES = {f"tasks[0].requirements.{name}": name for name in ("cpus", "memory", "disk")}


class Wanted(Struct, frozen=True, kw_only=True):
    """What is to be replayed, and where.

    `backend` is "" for the one that fits; `directory` defaults to one below the run's own, and
    `items` are ``key=value`` options of the backend.
    """

    run: Run
    task: str
    backend: str = ""
    directory: Path | None = None
    items: tuple[str, ...] = ()


class Ready(Struct, frozen=True, kw_only=True):
    """A replay that could start: where its resources are from, and what to know of it."""

    prepared: Prepared
    resources: tuple[TakenFile, ...]
    notes: tuple[str, ...]


@contextmanager
def ready(wanted: Wanted) -> Iterator[Ready]:
    """Yield a task ready to be driven on an open backend, which is closed after the block.

    Raises `JobError` for what the backend cannot do and for secrets that are not set,
    `EnvironmentNotReady` for a missing daemon or image, `TransferError` for lost resources and
    `Conflict` for a directory that is taken; nothing stays of a replay that could not start.
    """
    run, plugins = wanted.run, Plugins()
    plan, job = _plan_of(run, wanted.task), _job_of(run, wanted.task)
    name, notes = (wanted.backend, ()) if wanted.backend else _fitting(run, plan, plugins)
    spec = plugins.spec(name)
    _raise([*unsupported_requests(plan, spec), *plugins.validate(job, name)])
    _raise(unset_secrets(plan, os.environ, ()))
    settings = _settings(run, name, wanted.items, plugins)
    with closing(plugins.create(name, settings.backend)) as backend:
        plan, check = check_pinned(backend, spec, plan, run.heading.fingerprint)
        plan, check, smaller = _fitted(backend, plan, check)
        with _place(wanted) as place:
            task, taken = take_resources(run, plan.tasks[0], place / "resources", plugins)
            header = _header(wanted, replace(plan, tasks=(task,)), name, check, place)
            prepared = Prepared(
                job=job,
                plan=header.plan,
                settings=settings,
                spec=spec,
                backend=backend,
                check=check,
                run_id=header.run_id,
                directory=place,
                header=header,
                options=Options(),
                plugins=plugins,
            )
            told = (*notes, *smaller, *check.notes, *_changes(run, check))
            yield Ready(prepared=prepared, resources=taken, notes=told)


def _fitting(run: Run, plan: Plan, plugins: Plugins) -> tuple[str, tuple[str, ...]]:
    """Return containers for a task that had an image where a Docker daemon answers here.

    Else processes, as for a task that has been one.
    """
    image = plan.tasks[0].image
    if not image or run.heading.backend == PROCESSES:
        return PROCESSES, ()
    try:
        settings = _settings(run, CONTAINERS, (), plugins)
        with closing(plugins.create(CONTAINERS, settings.backend)) as backend:
            require_engine(backend, plan)
    except (NotFound, EnvironmentNotReady) as exc:
        return PROCESSES, (f"it does not run in its image {image}: {exc.reason}",)
    return CONTAINERS, ()


def _fitted(backend: Backend, plan: Plan, check: Check) -> tuple[Plan, Check, tuple[str, ...]]:
    """Leave out what a task of a larger machine asks for, and say so; raise what else is wrong."""
    beyond = [problem for problem in check.problems if problem.key in _SIZES]
    _raise(problem for problem in check.problems if problem not in beyond)
    if not beyond:
        return plan, check, ()
    (task,) = plan.tasks
    smaller = replace(task.requirements, **{_SIZES[problem.key]: None for problem in beyond})
    plan = replace(plan, tasks=(replace(task, requirements=smaller),))
    check = backend.check(plan)
    _raise(check.problems)
    return plan, check, tuple(f"left out here: {problem.reason}" for problem in beyond)


def _settings(run: Run, backend: str, items: Sequence[str], plugins: Plugins) -> Settings:
    heading = run.heading
    return resolve(
        plugins,
        flags={"backend": backend},
        items=(*_overrides(run, backend), *items),
        job=job_settings(run.plan),
        config=heading.config or None,
        no_config=heading.no_config,
    )


def _overrides(run: Run, backend: str) -> tuple[str, ...]:
    """Return the options of the command that made the run, where they are for this backend."""
    return run.heading.overrides if backend == run.heading.backend else ()


def _plan_of(run: Run, task_id: str) -> Plan:
    """Return the plan of one task alone: it waits for no other, and is tried once."""
    planned = next(task for task in run.plan.tasks if task.id == task_id)
    task = replace(planned, depends_on=(), retries=0)
    return replace(run.plan, tasks=(task,), spec_hash=task.spec_hash)


def _job_of(run: Run, task_id: str) -> Job:
    job = run.header.job
    return replace(job, tasks=[replace(t, depends_on=()) for t in job.tasks if t.id == task_id])


def _header(wanted: Wanted, plan: Plan, backend: str, check: Check, place: Path) -> Header:
    heading = wanted.run.heading
    run_id, _ = place_in(place, identity_of(plan, backend, check.fingerprint), fresh=True)
    return replace(
        Header.new(_job_of(wanted.run, wanted.task), plan, run_id=run_id, backend=backend),
        fingerprint=dict(check.fingerprint),
        overrides=(*_overrides(wanted.run, backend), *wanted.items),
        config=heading.config,
        no_config=heading.no_config,
    )


@contextmanager
def _place(wanted: Wanted) -> Iterator[Path]:
    """Make the directory of the replay; it goes again where nothing was recorded in it."""
    directory = wanted.directory and wanted.directory.absolute()
    if directory is None:
        directory = _next_directory(wanted.run.directory / "replays", wanted.task)
    elif directory.is_dir() and any(directory.iterdir()):
        raise Conflict(
            f"{directory} is not empty, and a replay has a directory of its own",
            hint="choose another one",
            where=str(directory),
            code="BC9001",
        )
    make_directory(directory)
    try:
        yield directory
    finally:
        if not (directory / "job.json").exists():
            remove_tree(directory)


def _next_directory(replays: Path, task_id: str) -> Path:
    """Return the first directory for a replay of this task that nobody has taken."""
    make_directory(replays)
    for number in itertools.count(1):
        directory = replays / f"{task_id}-{number}"
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            continue
        return directory
    raise AssertionError


def _changes(run: Run, check: Check) -> Iterator[str]:
    """Yield what the result depends on beside the plan, and is not known to be what it was."""
    there = run.heading.fingerprint
    for name, value in check.fingerprint.items():
        if name in there and there[name] != value:
            yield f"{name} is not known to be what it was: {there[name]} then, {value} now"


def _raise(problems: Iterable[Problem]) -> None:
    found = list(problems)
    if found:
        raise JobError(found)
