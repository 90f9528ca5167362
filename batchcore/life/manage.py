"""What can be done to a run that exists: go on with it, wait, cancel, clean up, ask its backend."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from batchcore.backend import Backend, RunContext
from batchcore.clock import Clock, SystemClock
from batchcore.driver import Driver, Policy, patience_to_cancel
from batchcore.driver.drive import (
    LATE,
    Leave,
    UntilLate,
    drive_record,
    late,
    observers_of,
    read_manner,
)
from batchcore.driver.signals import at_signals
from batchcore.errors import (
    BackendError,
    Conflict,
    Detached,
    JobError,
    UsageError,
    WaitTimeout,
)
from batchcore.events import Observer, Observers
from batchcore.features import unset_secrets
from batchcore.life.follow import Pace, follow
from batchcore.plan import Plan
from batchcore.plugins import Plugins
from batchcore.record import Header, Heading, Record
from batchcore.record.requests import forget_requests
from batchcore.record.resume import has_ended, past_start
from batchcore.record.rundir import is_driven
from batchcore.run import Run
from batchcore.settings import CoreSettings, Settings, job_settings, resolve
from batchcore.transfer.remove import remove_tree


def go_on(
    run: Run,
    observers: Iterable[Observer] = (),
    *,
    clock: Clock | None = None,
    timeout: float | None = None,
    leave: Leave | None = None,
    held: Callable[[], None] = lambda: None,
    background: bool = False,
) -> None:
    """Drive an existing run to its end from its directory alone; where it has ended, do nothing.

    What failed for good is not tried again. It is driven as it was by the command that began it,
    with the settings and the secrets of this environment. `held` is called once the run is held
    and can be driven; for `timeout` and `leave` see `batchcore.driver.drive.drive_record`, for
    `background` `batchcore.record.rundir.acquire`. Raises `Conflict` where another process drives
    it, `JobError` for secrets that are not set, and what `drive_record` raises.
    """
    plugins = Plugins()
    with closing(Record.resume(run.directory, background=background)) as record:
        if has_ended(record):
            held()
            return
        manner = read_manner(record)
        cwd = Path(manner.cwd) if manner else None
        settings = settings_of(run.heading, run.plan, plugins, cwd)
        _require_secrets(run)
        with closing(plugins.create(run.heading.backend, settings.backend)) as backend:
            held()
            policy = manner.policy if manner else _policy(settings.core)
            told = observers_of(plugins, run.id, run.directory, observers)
            drive_record(record, backend, policy, told, clock=clock, timeout=timeout, leave=leave)


def wait_run(
    run: Run,
    observers: Iterable[Observer] = (),
    *,
    timeout: float | None = None,
    clock: Clock | None = None,
    leave: Leave | None = None,
) -> None:
    """Return when a run has ended: follow the process that drives it, or be that process.

    Raises `WaitTimeout` after `timeout` seconds, and what `go_on` raises.
    """
    clock, observers = clock or SystemClock(), list(observers)
    until = None if timeout is None else clock.monotonic() + timeout
    pace = Pace(clock)
    while not run.has_ended or is_driven(run.directory):
        if is_driven(run.directory):
            follow(run, Observers(observers), clock, until)
        else:
            left = None if until is None else max(until - clock.monotonic(), 0.0)
            try:
                go_on(run, observers, clock=clock, timeout=left, leave=leave)
            except Conflict:
                pace.rest(news=True, until=until)
        if until is not None and clock.monotonic() >= until:
            if run.has_ended:
                return  # its driver still tidies up
            raise late(timeout or 0, run.directory)


def _require_secrets(run: Run) -> None:
    problems = list(unset_secrets(run.plan, os.environ, past_start(run.directory)))
    if problems:
        raise JobError(problems)


def _policy(core: CoreSettings) -> Policy:
    return Policy(max_parallel=core.max_parallel, fail_fast=core.fail_fast)


def cancel_run(
    run: Run,
    task_ids: Sequence[str] = (),
    observers: Iterable[Observer] = (),
    *,
    clock: Clock | None = None,
) -> bool:
    """Cancel tasks, or all; return whether they have ended when this returns.

    A controller that drives the run is asked and does it within seconds; where there is none,
    this process carries it out. Raises `WaitTimeout` where they have not ended in time; they stay
    canceled, whoever goes on with the run.
    """
    clock, told = clock or SystemClock(), Observers(observers)
    run.cancel(task_ids)
    if is_driven(run.directory):
        return False  # also where a driver was given the run, and would find its lock taken
    try:
        record = Record.resume(run.directory)
    except Conflict:
        return False
    try:
        if has_ended(record):
            forget_requests(run.directory)
            return True
        with open_backend(run) as backend:
            driver = Driver(record, backend, observers=told, clock=clock)
            patience = patience_to_cancel(run.plan)
            told.add(UntilLate(clock, patience, driver.detach))
            _carry_out(driver, task_ids, run.directory, patience)
    finally:
        record.close()
    return True


def _carry_out(driver: Driver, task_ids: Sequence[str], directory: Path, patience: float) -> None:
    try:
        with at_signals(driver.detach):
            driver.cancel_only(task_ids)
    except Detached as exc:
        if exc.signal_exit != LATE:
            raise
        raise WaitTimeout(
            f"the tasks were asked to stop, and have not all ended within {patience:.0f} s",
            hint=f"wait for them: batchcore wait {os.path.relpath(directory)}",
            where=str(directory),
        ) from None


def clean_run(run: Run, *, dry_run: bool, results: bool = False) -> list[str]:
    """Delete what a run left on its backend and return a line for each thing.

    Results and logs stay unless `results`. Raises `UsageError` where tasks have not ended,
    because their outputs are not fetched; `Conflict` where a controller drives the run.
    """
    _require_end(run)
    with closing(Record.resume(run.directory)) as record:
        _require_end(run)  # until it was held, somebody could go on with it
        with open_backend(run) as backend:
            context = RunContext(run_id=run.id, plan=run.plan, directory=run.directory, store="")
            if not dry_run:
                with record.errors():
                    record.settle()
            lines = list(backend.release(context, dry_run=dry_run))
        if results:
            lines.append(f"directory {run.directory} with its results")
            if not dry_run:
                remove_tree(run.directory)
    return lines


def _require_end(run: Run) -> None:
    if run.state == "running":
        raise UsageError(
            f"run {run.id} has tasks that have not ended, and their outputs are not fetched",
            hint=f"go on with it, or stop it: batchcore cancel {run.directory}",
        )


@contextmanager
def open_backend(run: Run, plugins: Plugins | None = None) -> Iterator[Backend]:
    """Open the backend of an existing run with the settings that apply to it now.

    They are looked for where the command that began the run did; where that is lost, here.
    """
    plugins = plugins or Plugins()
    settings = settings_of(run.heading, run.plan, plugins, _begun_in(run))
    with closing(plugins.create(run.heading.backend, settings.backend)) as backend:
        yield backend


def _begun_in(run: Run) -> Path | None:
    try:
        record = Record.read(run.directory, run.heading, whole=False)
        with closing(record), record.errors():
            manner = read_manner(record)
    except BackendError:
        return None
    return Path(manner.cwd) if manner else None


def settings_of(
    known: Header | Heading, plan: Plan, plugins: Plugins, cwd: Path | None = None
) -> Settings:
    """Return the settings that apply now to a run of which this is known."""
    return resolve(
        plugins,
        flags={"backend": known.backend},
        items=known.overrides,
        job=job_settings(plan),
        cwd=cwd,
        config=known.config or None,
        no_config=known.no_config,
    )
