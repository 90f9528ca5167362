"""Driving an open run to its end, or as far as is wished: the one way from a record to a driver."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from batchcore.backend import Backend
from batchcore.clock import Clock, SystemClock
from batchcore.driver.driver import Driver, Policy
from batchcore.driver.signals import CANCELING, at_signals
from batchcore.errors import BatchcoreError, Detached, WaitTimeout
from batchcore.events import Event, Note, Observer, Observers, RunEnded, RunLeft, TaskChanged
from batchcore.plugins import Plugins
from batchcore.record import Record
from batchcore.record.resume import reopen
from batchcore.settings import OnInterrupt

LATE = -1
"""The exit code of a `Detached` that no signal has caused, but a time that is over."""
_MANNER = "manner"
_VERSIONS = "versions"


class Manner(Struct, frozen=True, kw_only=True):
    """How the command that began a run wanted it driven; `cwd` is where it looked for settings."""

    max_parallel: int | None = None
    fail_fast: bool = False
    cwd: str = ""

    @property
    def policy(self) -> Policy:
        """The part of it that the driver knows."""
        return Policy(max_parallel=self.max_parallel, fail_fast=self.fail_fast)


class Leave(Protocol):
    """What is done with a run that is left before its end."""

    def __call__(self, error: BatchcoreError, record: Record) -> BatchcoreError:
        """Return what to raise; `error` is `Detached` or `WaitTimeout`.

        The backend is closed, the record is open, and a closed terminal does no harm any more.
        """
        ...


def save_manner(record: Record, policy: Policy, *, cwd: str = "") -> None:
    """Write down how a run is driven from now on, for whoever goes on with it.

    `cwd` is where its settings are looked for, default the current directory.
    """
    manner = Manner(
        max_parallel=policy.max_parallel,
        fail_fast=policy.fail_fast,
        cwd=cwd or str(Path.cwd()),
    )
    record.save_meta(_MANNER, msgspec.json.encode(manner).decode())


def read_manner(record: Record) -> Manner | None:
    """Return how the run was driven; None where that is lost."""
    try:
        return msgspec.json.decode(record.meta(_MANNER), type=Manner)
    except msgspec.MsgspecError:
        return None


class Versions(Struct, frozen=True, kw_only=True):
    """What drove a run last; `backend` is the distribution that has the backend, with its own."""

    batchcore: str
    backend: str
    python: str


def save_versions(record: Record, plugins: Plugins) -> None:
    """Write down what drives a run from now on."""
    name = record.header.backend
    labels = [plugin.label for plugin in plugins.names() if plugin.name == name]
    versions = Versions(
        batchcore=version("batchcore"),
        backend=" or ".join(labels),
        python=platform.python_version(),
    )
    record.save_meta(_VERSIONS, msgspec.json.encode(versions).decode())


def read_versions(record: Record) -> Versions | None:
    """Return what drove the run; None where that is lost."""
    try:
        return msgspec.json.decode(record.meta(_VERSIONS), type=Versions)
    except msgspec.MsgspecError:
        return None


def drive_record(
    record: Record,
    backend: Backend,
    policy: Policy,
    observers: Observers,
    *,
    clock: Clock | None = None,
    submit_only: bool = False,
    timeout: float | None = None,
    leave: Leave | None = None,
    on_interrupt: OnInterrupt = "detach",
) -> None:
    """Drive a run to its end, and close its record and its backend, also where that fails.

    With `submit_only` until all is submitted that can be now. Where `on_interrupt` says so, a
    signal cancels all tasks, and their end is waited for. Raises `Detached` after a signal, here
    where that took too long, and `WaitTimeout` after `timeout` seconds, or what `leave` makes of
    these; and what the backend raises. In all cases the run can be gone on with.
    """
    driver = Driver(record, backend, policy=policy, observers=observers, clock=clock)
    if timeout is not None:
        observers.add(UntilLate(clock or SystemClock(), timeout, driver.detach))
    with _signals_of(driver, on_interrupt), closing(record):
        try:
            left = _told_if_left(record, observers, clock or SystemClock())
            with closing(backend), left:
                _drive(driver, record, observers, submit_only=submit_only)
        except Detached as exc:
            error: BatchcoreError = exc
            if exc.signal_exit == LATE:
                error = late(timeout or 0, record.directory)
            raise leave(error, record) if leave else error from None


@contextmanager
def _told_if_left(record: Record, observers: Observers, clock: Clock) -> Iterator[None]:
    """Tell that the run is left, where it has not ended at the end of a block."""

    def tell(why: str, *, failed: bool = False) -> None:
        run_id = record.header.run_id
        observers.tell(RunLeft(at=clock.now(), run_id=run_id, why=why, failed=failed))

    try:
        yield
    except (Detached, KeyboardInterrupt) as exc:
        tell(exc.reason if isinstance(exc, Detached) else "Interrupted.")
        raise
    except BaseException as exc:
        tell(exc.reason if isinstance(exc, BatchcoreError) else type(exc).__name__, failed=True)
        raise
    if not record.has_ended:
        tell("What could start has been submitted.")


def _signals_of(driver: Driver, on_interrupt: OnInterrupt) -> AbstractContextManager[None]:
    if on_interrupt == "cancel":
        return at_signals(driver.cancel, CANCELING)
    return at_signals(driver.detach)


def _drive(driver: Driver, record: Record, observers: Observers, *, submit_only: bool) -> None:
    with record.errors():
        rebuilt = reopen(record)
    if rebuilt:
        observers.tell(Note(at=time.time(), text="run.db was damaged, and has been rebuilt"))
    if submit_only:
        driver.submit_only()
    else:
        driver.run()


def late(timeout: float, directory: Path) -> WaitTimeout:
    """Return the error for a wait that was too short."""
    return WaitTimeout(
        f"the tasks have not ended within {timeout:g} s; what runs goes on",
        hint=f"wait again: batchcore wait {os.path.relpath(directory)}",
        where=str(directory),
    )


class UntilLate:
    """An observer that leaves a run at a time of a clock that only grows."""

    def __init__(self, clock: Clock, seconds: float, leave: Callable[[int], None]) -> None:
        """Begin to count."""
        self._clock = clock
        self._deadline = clock.monotonic() + seconds
        self._leave = leave

    def __call__(self, _event: Event) -> None:
        """Look at the clock."""
        if self._clock.monotonic() >= self._deadline:
            self._leave(LATE)


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
        for observer in plugin.observe_run(run_id, directory):
            told.add(observer)
    return told
