"""From a job to a driven run: settings, plan, checks, run directory, driver."""

from __future__ import annotations

import fnmatch
import os
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from batchcore.backend import Backend, BackendSpec, Check
from batchcore.clock import Clock
from batchcore.driver import Driver, Policy
from batchcore.errors import Detached, JobError, NotFound, Problem, suggest
from batchcore.events import Event, Note, Observer, Observers, RunEnded, TaskChanged
from batchcore.features import unset_secrets, unsupported_requests
from batchcore.identity import identity_of, place_below, place_in
from batchcore.model import Job
from batchcore.plan import Plan, plan_job
from batchcore.plugins import Plugins
from batchcore.record import Header, Record
from batchcore.resume import past_start, reopen
from batchcore.run import Run
from batchcore.settings import Settings, job_settings, resolve
from batchcore.signals import detaching


class Options(Struct, frozen=True, kw_only=True):
    """What a command or a call chooses; None and empty leave it to the other settings.

    `directory` is the run directory itself, default ``<runs>/<run id>``. `only` are patterns of
    task ids. `fresh` starts anew where the same job has a run already. `same_command` is what to
    type to go on, for messages.
    """

    backend: str = ""
    directory: Path | None = None
    runs: str | None = None
    items: tuple[str, ...] = ()
    max_parallel: int | None = None
    fail_fast: bool | None = None
    only: tuple[str, ...] = ()
    fresh: bool = False
    config: Path | None = None
    no_config: bool = False
    same_command: str = "the same command again"

    def flags(self) -> dict[str, Any]:
        """Return the part of the options that settings know."""
        return {
            "backend": self.backend or None,
            "runs": self.runs,
            "max_parallel": self.max_parallel,
            "fail_fast": self.fail_fast,
        }


class Prepared(Struct, frozen=True, kw_only=True):
    """A job that could run now: planned and checked, and nothing of it created.

    Holds an open backend; give it to `drive`, or close it.
    """

    job: Job
    plan: Plan
    settings: Settings
    spec: BackendSpec
    backend: Backend
    check: Check
    run_id: str
    directory: Path
    header: Header
    options: Options
    plugins: Plugins


def run_job(
    job: Job,
    *,
    backend: str = "",
    directory: str | Path | None = None,
    settings: Sequence[str] = (),
    max_parallel: int | None = None,
    fail_fast: bool | None = None,
    fresh: bool = False,
    observers: Iterable[Observer] = (),
) -> Run:
    """Run a job to its end and return its `Run`; the same call again continues or answers at once.

    `backend` is a backend's name, default from the settings (``local-process`` where there are
    none); `settings` are ``key=value`` options of that backend; `directory` is the run directory.
    Tasks that failed do not raise: see `Run.output_files` and `Run.raise_for_state`. Raises
    `JobError` and `SettingsError` before anything is created, `EnvironmentNotReady`, `Conflict`,
    `BackendError`, and `Detached` after Ctrl-C.
    """
    options = Options(
        backend=backend,
        directory=None if directory is None else Path(directory),
        items=tuple(settings),
        max_parallel=max_parallel,
        fail_fast=fail_fast,
        fresh=fresh,
    )
    return drive(prepare(job, options), observers)


def prepare(
    job: Job,
    options: Options,
    *,
    base: Path | None = None,
    origin: str = "",
    plugins: Plugins | None = None,
) -> Prepared:
    """Plan and check a job; creates nothing.

    `base` and `origin` are the directory and the name of the job file. Raises `JobError` with
    every problem of the plan, else with every problem the backend and the validators have.
    """
    plugins = plugins or Plugins()
    job = _only(job, options.only)
    settings = resolve(
        plugins,
        flags=options.flags(),
        items=options.items,
        job=job_settings(job),
        job_origin=origin or "job",
        config=options.config,
        no_config=options.no_config,
    )
    name = settings.core.backend
    spec = plugins.spec(name)
    plan = plan_job(job, base=base, origin=origin)
    problems = [*unsupported_requests(plan, spec), *plugins.validate(job, name)]
    _raise(problems, origin)
    backend = plugins.create(name, settings.backend)
    try:
        check = backend.check(plan)
        _raise(check.problems, origin)
        stem = identity_of(plan, name, check.fingerprint)
        if options.directory is None:
            runs = Path(settings.core.runs).absolute()
            run_id, directory = place_below(runs, stem, fresh=options.fresh)
        else:
            run_id, directory = place_in(options.directory.absolute(), stem, fresh=options.fresh)
        if any(task.secrets for task in plan.tasks):
            _raise(unset_secrets(plan, os.environ, past_start(directory)), origin)
    except BaseException:
        backend.close()
        raise
    header = Header(
        run_id=run_id,
        backend=name,
        created_at=time.time(),
        version=version("batchcore"),
        spec_hash=plan.spec_hash,
        job=job,
        plan=plan,
        fingerprint=dict(check.fingerprint),
        overrides=options.items,
        config=str(options.config.absolute()) if options.config else "",
        no_config=options.no_config,
    )
    return Prepared(
        job=job,
        plan=plan,
        settings=settings,
        spec=spec,
        backend=backend,
        check=check,
        run_id=run_id,
        directory=directory,
        header=header,
        options=options,
        plugins=plugins,
    )


def drive(
    prepared: Prepared, observers: Iterable[Observer] = (), *, clock: Clock | None = None
) -> Run:
    """Drive a prepared job to its end, or continue where an earlier command left it.

    `clock` is the driver's, default the machine's own.
    """
    try:
        record = Record.create(prepared.directory, prepared.header)
    except BaseException:
        prepared.backend.close()
        raise
    core = prepared.settings.core
    told = observers_of(prepared.plugins, prepared.run_id, prepared.directory, observers)
    driver = Driver(
        record,
        prepared.backend,
        policy=Policy(max_parallel=core.max_parallel, fail_fast=core.fail_fast),
        observers=told,
        clock=clock,
    )
    try:
        with record.errors():
            rebuilt = reopen(record)
        if rebuilt:
            told.tell(Note(at=time.time(), text="run.db was damaged, and has been rebuilt"))
        with detaching(driver):
            driver.run()
    except Detached as exc:
        raise Detached(
            exc.reason,
            hint=f"go on:  {prepared.options.same_command}\n        "
            f"stop:   batchcore cancel {prepared.directory}",
            signal_exit=exc.signal_exit,
        ) from None
    finally:
        try:
            prepared.backend.close()
        finally:
            record.close()
    return Run.load(prepared.directory)


def _only(job: Job, patterns: Sequence[str]) -> Job:
    """Keep the tasks whose id matches, and those they wait for."""
    if not patterns:
        return job
    tasks = {task.id: task for task in job.tasks}
    chosen: set[str] = set()
    for pattern in patterns:
        found = fnmatch.filter(tasks, pattern)
        if not found:
            raise NotFound(
                f"no task matches {pattern!r}", hint=suggest(pattern, tasks), code="BC5001"
            )
        pending = list(found)
        while pending:
            task_id = pending.pop()
            if task_id in tasks and task_id not in chosen:
                chosen.add(task_id)
                pending += [d.task for d in tasks[task_id].dependencies]
    return msgspec.structs.replace(job, tasks=[t for t in job.tasks if t.id in chosen])


def _raise(problems: Iterable[Problem], origin: str) -> None:
    found = [msgspec.structs.replace(p, file=p.file or origin) for p in problems]
    if found:
        raise JobError(found)


def observers_of(
    plugins: Plugins, run_id: str, directory: Path, observers: Iterable[Observer]
) -> Observers:
    """Return those who are told of a run: the given observers and those of the plugins."""
    told = Observers(observers)
    for plugin in plugins.observers():

        def tell(event: Event, plugin: Any = plugin) -> None:
            if isinstance(event, TaskChanged):
                plugin.task_changed(run_id, event.task_id, event.old, event.new, event.at)
            if isinstance(event, RunEnded):
                plugin.run_finished(run_id, event.state, directory)

        told.add(tell)
    return told
