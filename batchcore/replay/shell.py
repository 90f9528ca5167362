"""A shell where one task of an earlier run would start, with all that the task would find."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from batchcore.backend import RunContext, Shell, TaskSubmission
from batchcore.errors import UsageError
from batchcore.life.start import Prepared
from batchcore.replay.prepare import Ready, Wanted, ready
from batchcore.transfer.stage import stage

_OF_THE_SHELL = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM)


def open_shell(wanted: Wanted, notify: Callable[[Ready], None] = lambda _ready: None) -> None:
    """Open a shell on this terminal and return when it has ended; nothing of it stays.

    The task's directory, resources, environment, secrets and image are there as `replay_task`
    would have them, and the command is left to whoever types. `notify` is called just before.
    Raises `UsageError` for a backend that can open none, `NotFound` for a task that the run has
    not, and what `batchcore.replay.prepare.ready` raises.
    """
    wanted.run.require_tasks([wanted.task])
    with ready(wanted) as prepared, _shell(prepared.prepared) as shell:
        notify(prepared)
        with _left_to_the_shell():
            subprocess.run(shell.argv, cwd=shell.directory, env=shell.env, check=False)


@contextmanager
def _shell(prepared: Prepared) -> Iterator[Shell]:
    """Prepare the attempt on its backend, and release it after the block."""
    name, backend = prepared.spec.name, prepared.backend
    if prepared.spec.remote:
        raise _cannot(name)
    run = RunContext(run_id=prepared.run_id, plan=prepared.plan, directory=prepared.directory)
    (task,) = prepared.plan.tasks
    try:
        run = replace(run, store=backend.store(run))
        stage(task.files, run.store, {}, lambda _key, _file: None, backend.filesystem)
        shell = backend.shell(run, TaskSubmission(task, 1))
        if shell is None:
            raise _cannot(name)
        yield shell
    finally:
        backend.release(run, dry_run=False)


def _cannot(backend: str) -> UsageError:
    return UsageError(
        f"{backend} has no place on this machine where a shell could be opened",
        hint="add --backend local-docker or --backend local-process",
    )


@contextmanager
def _left_to_the_shell() -> Iterator[None]:
    """Let the terminal's signals do nothing here: they reach the shell too, and that ends first.

    By a handler, as what is ignored stays ignored in the program that is started.
    """
    before = {number: signal.signal(number, lambda *_: None) for number in _OF_THE_SHELL}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
