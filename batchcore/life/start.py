"""From a job to a driven run: settings, plan, checks, run directory, driver."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from batchcore.backend import Backend, BackendSpec, Check
from batchcore.clock import Clock, SystemClock
from batchcore.driver import Policy
from batchcore.driver.drive import (
    Leave,
    drive_record,
    observers_of,
    save_manner,
    save_versions,
)
from batchcore.errors import (
    BatchcoreError,
    Conflict,
    Detached,
    JobError,
    NotFound,
    Problem,
    suggest,
)
from batchcore.events import Observer, Observers
from batchcore.features import unset_secrets, unsupported_requests
from batchcore.life.background import hand_over
from batchcore.life.follow import follow_driver
from batchcore.life.identity import identity_of, place_below, place_in
from batchcore.model import Job
from batchcore.plan import Plan, plan_job
from batchcore.plugins import Plugins
from batchcore.record import Header, Record, read_heading
from batchcore.record.resume import past_start, reopen
from batchcore.record.rundir import owner_of
from batchcore.run import Run
from batchcore.settings import OnInterrupt, Settings, job_settings, resolve


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
    on_interrupt: OnInterrupt | None = None
    same_command: str = "the same command again"

    def flags(self) -> dict[str, Any]:
        """Return the part of the options that settings know."""
        return {
            "backend": self.backend or None,
            "runs": self.runs,
            "max_parallel": self.max_parallel,
            "fail_fast": self.fail_fast,
            "on_interrupt": self.on_interrupt,
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

    @property
    def policy(self) -> Policy:
        """How the settings want the run driven."""
        core = self.settings.core
        return Policy(max_parallel=core.max_parallel, fail_fast=core.fail_fast)


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
    `BackendError`, and `Detached` after Ctrl-C: no other process drives the run then, as a command
    arranges it, and the same call goes on.
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
    header = msgspec.structs.replace(
        Header.new(job, plan, run_id=run_id, backend=name),
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
    prepared: Prepared,
    observers: Iterable[Observer] = (),
    *,
    clock: Clock | None = None,
    submit_only: bool = False,
    leave: Leave | None = None,
    on_interrupt: OnInterrupt = "detach",
) -> Run:
    """Drive a prepared job to its end, or continue where an earlier command left it.

    Where a process in the background drives it, that is followed to its end, and with
    `submit_only` left alone. `clock` is the
    driver's, default the machine's own. For `submit_only`, `leave` and `on_interrupt` see
    `batchcore.driver.drive.drive_record`; without `leave` nothing drives the run after Ctrl-C.
    """
    observers = list(observers)
    record = recorded(prepared)
    while record is None:
        if submit_only:
            prepared.backend.close()
            return Run.load(prepared.directory)
        if _followed(prepared, observers, clock or SystemClock(), on_interrupt):
            return Run.load(prepared.directory)
        record = recorded(prepared)
    told = observers_of(prepared.plugins, prepared.run_id, prepared.directory, observers)
    drive_record(
        record,
        prepared.backend,
        prepared.policy,
        told,
        clock=clock,
        submit_only=submit_only,
        leave=leave or _Leaving(prepared),
        on_interrupt=on_interrupt,
    )
    return Run.load(prepared.directory)


def submit(prepared: Prepared) -> int:
    """Hand a prepared job to a background driver, and return the id of its process.

    On return it drives the run; one that does so already stays. Raises `EnvironmentNotReady` where
    it could not be started.
    """
    record = recorded(prepared)
    if record is None:
        prepared.backend.close()
        owner = owner_of(prepared.directory)
        return owner.pid if owner else 0
    try:
        with record.errors():
            reopen(record)
        prepared.backend.close()
        return hand_over(record)
    finally:
        record.close()


def _followed(
    prepared: Prepared, observers: Iterable[Observer], clock: Clock, on_interrupt: OnInterrupt
) -> bool:
    """Follow the process that drives a run until it has gone; return whether the run has ended."""
    run = Run.load(prepared.directory)
    try:
        follow_driver(run, Observers(observers), clock, on_interrupt)
        ended = run.has_ended
    except (KeyboardInterrupt, Detached) as exc:
        prepared.backend.close()
        late = exc if isinstance(exc, Detached) else None
        raise Detached(
            late.reason if late else "Detached. The process that drives the run goes on with it.",
            hint=f"go on:  {prepared.options.same_command}\n        "
            f"stop:   batchcore cancel {prepared.directory}",
            signal_exit=late.signal_exit if late else Detached.exit_code,
        ) from None
    except BaseException:
        prepared.backend.close()
        raise
    if ended:
        prepared.backend.close()
    return ended


def recorded(prepared: Prepared) -> Record | None:
    """Open the record of a prepared job, made where there is none.

    None where a process in the background drives that very job; raises `Conflict` where another
    controller does.
    """
    try:
        record = Record.create(prepared.directory, prepared.header)
    except Conflict:
        owner = owner_of(prepared.directory)
        if owner and owner.background and _is_same(prepared):
            return None
        prepared.backend.close()
        raise
    except BaseException:
        prepared.backend.close()
        raise
    try:
        with record.errors():
            save_manner(record, prepared.policy)
            save_versions(record, prepared.plugins)
    except BaseException:
        prepared.backend.close()
        record.close()
        raise
    return record


def _is_same(prepared: Prepared) -> bool:
    there, wanted = read_heading(prepared.directory), prepared.header
    return (there.run_id, there.spec_hash) == (wanted.run_id, wanted.spec_hash)


class _Leaving:
    """Says how to go on with what this command began."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared

    def __call__(self, error: BatchcoreError, record: Record) -> BatchcoreError:  # noqa: ARG002 - the protocol's
        if not isinstance(error, Detached):
            return error
        return Detached(
            error.reason,
            hint=f"go on:  {self._prepared.options.same_command}\n        "
            f"stop:   batchcore cancel {self._prepared.directory}",
            signal_exit=error.signal_exit,
        )


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
