"""From a job to a driven run: settings, plan, checks, run directory, driver."""

from __future__ import annotations

import fnmatch
import hashlib
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
from msgspec import Struct

from batchcore.backend import Backend, BackendSpec, Check, RunContext
from batchcore.driver import Driver, Policy
from batchcore.errors import (
    Conflict,
    Detached,
    JobError,
    NotFound,
    Problem,
    UsageError,
    suggest,
)
from batchcore.events import Event, Observer, Observers, RunEnded, TaskChanged
from batchcore.features import unsupported_requests
from batchcore.model import Job
from batchcore.plan import Plan, plan_job
from batchcore.plugins import Plugins
from batchcore.record import Header, Record, TaskRow, read_header
from batchcore.requests import take_requests
from batchcore.run import Run
from batchcore.settings import Settings, job_settings, resolve
from batchcore.states import TaskState
from batchcore.transfer.stage import remove_strays


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
        run_id, directory = _place(job, plan, name, check, settings, options)
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


def drive(prepared: Prepared, observers: Iterable[Observer] = ()) -> Run:
    """Drive a prepared job to its end, or continue where an earlier command left it."""
    try:
        record = Record.create(prepared.directory, prepared.header)
    except BaseException:
        prepared.backend.close()
        raise
    core = prepared.settings.core
    driver = Driver(
        record,
        prepared.backend,
        policy=Policy(max_parallel=core.max_parallel, fail_fast=core.fail_fast),
        observers=_told(prepared, observers),
    )
    try:
        reopen(record)
        with _signals(driver):
            driver.run()
    except Detached as exc:
        raise Detached(
            exc.reason,
            hint=f"go on:  {prepared.options.same_command}\n        "
            f"stop:   batchcore cancel {prepared.directory}",
            signal_exit=exc.signal_exit,
        ) from None
    finally:
        prepared.backend.close()
        record.close()
    return Run.load(prepared.directory)


def cancel_run(run: Run, task_ids: Sequence[str] = (), observers: Iterable[Observer] = ()) -> bool:
    """Cancel tasks, or all; return whether they have ended when this returns.

    A controller that drives the run is asked and does it within seconds; where there is none,
    this process carries it out.
    """
    run.cancel(task_ids)
    try:
        record = Record.resume(run.directory)
    except Conflict:
        return False
    if record.meta("state") not in {"", "running"}:
        _forget_requests(run.directory)
        record.close()
        return True
    with open_backend(run) as backend:
        driver = Driver(record, backend, observers=Observers(observers))
        try:
            with _signals(driver):
                driver.cancel_only(task_ids)
        finally:
            record.close()
    return True


def clean_run(run: Run, *, dry_run: bool, results: bool = False) -> list[str]:
    """Delete what a run left on its backend and return a line for each thing.

    Results and logs stay unless `results`. Raises `UsageError` where tasks have not ended,
    because their outputs are not fetched; `Conflict` where a controller drives the run.
    """
    import shutil

    if run.state == "running":
        raise UsageError(
            f"run {run.id} has tasks that have not ended, and their outputs are not fetched",
            hint=f"go on with it, or stop it: batchcore cancel {run.directory}",
        )
    record = Record.resume(run.directory)
    try:
        with open_backend(run) as backend:
            context = RunContext(
                run_id=run.id, plan=run.header.plan, directory=run.directory, store=""
            )
            lines = list(backend.release(context, dry_run=dry_run))
        if not dry_run:
            record.forget_staged()
    finally:
        record.close()
    if results:
        lines.append(f"directory {run.directory} with its results")
        if not dry_run:
            shutil.rmtree(run.directory)
    return lines


@contextmanager
def open_backend(run: Run, plugins: Plugins | None = None) -> Iterator[Backend]:
    """Open the backend of an existing run with the settings that apply now."""
    plugins = plugins or Plugins()
    settings = resolve(
        plugins,
        flags={"backend": run.header.backend},
        items=run.header.overrides,
        job=job_settings(run.header.plan),
    )
    backend = plugins.create(run.header.backend, settings.backend)
    try:
        yield backend
    finally:
        backend.close()


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


def _place(
    job: Job, plan: Plan, name: str, check: Check, settings: Settings, options: Options
) -> tuple[str, Path]:
    """Return the run's id and directory; the same work on the same backend has the same id."""
    slug = re.sub(r"[^a-z0-9]+", "-", job.name.lower())[:40].strip("-") or "job"
    identity = repr([plan.spec_hash, name, sorted(check.fingerprint.items())])
    stem = f"{slug}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"
    runs = Path(settings.core.runs).absolute()
    number = 1
    while (runs / _numbered(stem, number + 1) / "job.json").exists():
        number += 1
    run_id = _numbered(stem, number)
    taken = (runs / run_id / "job.json").exists()
    if options.fresh and options.directory is None and taken:
        run_id = _numbered(stem, number + 1)
    if options.directory is None:
        return run_id, runs / run_id
    return _place_given(run_id, stem, options.directory.absolute(), fresh=options.fresh)


def _place_given(run_id: str, stem: str, directory: Path, *, fresh: bool) -> tuple[str, Path]:
    """Continue the run in a directory that the user chose, or refuse a different one."""
    if not (directory / "job.json").exists():
        return run_id, directory
    header = read_header(directory)
    if re.fullmatch(rf"{re.escape(stem)}(-\d+)?", header.run_id) and not fresh:
        return header.run_id, directory
    raise Conflict(
        f"{directory} holds another run: {header.run_id}",
        hint="choose another directory; a run's directory is never reused",
        where=str(directory),
        code="BC9001",
    )


def _numbered(stem: str, number: int) -> str:
    return stem if number == 1 else f"{stem}-{number}"


def reopen(record: Record) -> None:
    """Make a run that has ended ready to go on: what did not succeed gets new attempts."""
    remove_strays(record.outputs_directory)
    ended = record.meta("state") not in {"", "running"}
    collected = record.outputs()
    again: list[TaskRow] = []
    for row in record.rows():
        files = [(record.outputs_directory / o.to, o.size) for o in collected.get(row.id, ())]
        lost = any(not path.is_file() or path.stat().st_size != size for path, size in files)
        unfinished = ended and row.state in {TaskState.FAILED, TaskState.CANCELED}
        if unfinished or (row.state is TaskState.SUCCEEDED and lost):
            row.state, row.canceling, row.reason, row.detail = TaskState.PENDING, False, None, ""
            row.exit_code, row.retries, row.interruptions = None, 0, 0
            again.append(row)
    if ended:
        _forget_requests(record.directory)
    record.save(again)
    record.save_meta("state", "running")


def _forget_requests(directory: Path) -> None:
    for _request in take_requests(directory):
        pass


def _told(prepared: Prepared, observers: Iterable[Observer]) -> Observers:
    """Return the given observers and those of the plugins."""
    told = Observers(observers)
    run_id, directory = prepared.run_id, prepared.directory
    for plugin in prepared.plugins.observers():

        def tell(event: Event, plugin: Any = plugin) -> None:
            if isinstance(event, TaskChanged):
                plugin.task_changed(run_id, event.task_id, event.old, event.new, event.at)
            if isinstance(event, RunEnded):
                plugin.run_finished(run_id, event.state, directory)

        told.add(tell)
    return told


@contextmanager
def _signals(driver: Driver) -> Iterator[None]:
    """Let the first Ctrl-C or TERM detach, and the second end the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    exits = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}
    asked = False

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        driver.detach(exits[signal.Signals(number)])

    before: dict[signal.Signals, Callable[..., Any] | int | None] = {
        number: signal.signal(number, handle) for number in exits
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
