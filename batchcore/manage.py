"""What can be done to a run that exists: cancel it, clean up after it, ask its backend."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from batchcore.backend import Backend, RunContext
from batchcore.driver import Driver
from batchcore.errors import Conflict, UsageError
from batchcore.events import Observer, Observers
from batchcore.plugins import Plugins
from batchcore.record import Record
from batchcore.requests import forget_requests
from batchcore.resume import has_ended
from batchcore.run import Run
from batchcore.settings import job_settings, resolve
from batchcore.signals import detaching


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
    try:
        if has_ended(record):
            forget_requests(run.directory)
            return True
        with open_backend(run) as backend:
            driver = Driver(record, backend, observers=Observers(observers))
            with detaching(driver):
                driver.cancel_only(task_ids)
    finally:
        record.close()
    return True


def clean_run(run: Run, *, dry_run: bool, results: bool = False) -> list[str]:
    """Delete what a run left on its backend and return a line for each thing.

    Results and logs stay unless `results`. Raises `UsageError` where tasks have not ended,
    because their outputs are not fetched; `Conflict` where a controller drives the run.
    """
    if run.state == "running":
        raise UsageError(
            f"run {run.id} has tasks that have not ended, and their outputs are not fetched",
            hint=f"go on with it, or stop it: batchcore cancel {run.directory}",
        )
    record = Record.resume(run.directory)
    try:
        with open_backend(run) as backend:
            context = RunContext(run_id=run.id, plan=run.plan, directory=run.directory, store="")
            if not dry_run:
                record.settle()
            lines = list(backend.release(context, dry_run=dry_run))
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
        flags={"backend": run.heading.backend},
        items=run.heading.overrides,
        job=job_settings(run.plan),
        config=run.heading.config or None,
        no_config=run.heading.no_config,
    )
    backend = plugins.create(run.heading.backend, settings.backend)
    try:
        yield backend
    finally:
        backend.close()
