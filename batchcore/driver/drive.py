"""Driving an open run to its end, or as far as is wished: the one way from a record to a driver."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from batchcore.backend import Backend
from batchcore.clock import Clock, SystemClock
from batchcore.driver.driver import Driver, Policy, patience_to_cancel
from batchcore.driver.signals import CANCELING, at_signals
from batchcore.errors import BatchcoreError, Detached, WaitTimeout
from batchcore.events import Event, Note, Observer, Observers, RunEnded, TaskChanged
from batchcore.life.follow import follow
from batchcore.plugins import Plugins
from batchcore.record import Record
from batchcore.record.resume import reopen
from batchcore.record.rundir import is_driven
from batchcore.run import Run
from batchcore.settings import OnInterrupt

LATE = -1
"""The exit code of a `Detached` that no signal has caused, but a time that is over."""
_MANNER = "manner"


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
            with closing(backend):
                _drive(driver, record, observers, submit_only=submit_only)
        except Detached as exc:
            error: BatchcoreError = exc
            if exc.signal_exit == LATE:
                error = late(timeout or 0, record.directory)
            raise leave(error, record) if leave else error from None


def follow_driver(
    run: Run, observers: Observers, clock: Clock, on_interrupt: OnInterrupt = "detach"
) -> None:
    """Tell what the process that drives a run does, until it has gone.

    A signal asks it to cancel all tasks where `on_interrupt` says so, and raises
    `KeyboardInterrupt` where not, as the next one does. Raises `Detached` where canceling took
    too long.
    """
    if on_interrupt == "detach":
        follow(run, observers, clock)
        return
    patience = patience_to_cancel(run.plan)
    codes: list[int] = []

    def interrupt(exit_code: int) -> None:
        codes.append(exit_code)
        raise KeyboardInterrupt

    def cancel() -> float:
        run.cancel()
        return clock.monotonic() + patience

    with at_signals(interrupt, CANCELING):
        follow(run, observers, clock, interrupted=cancel)
    if codes and not run.has_ended and is_driven(run.directory):
        raise Detached(
            f"Detached. The tasks were asked to stop, and have not within {patience:.0f} s.",
            signal_exit=codes[0],
        )


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
    return told
