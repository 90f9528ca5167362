"""What the engine asks of a way to run one command on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from msgspec import Struct

from batchcore.backend import Check, Shell
from batchcore.plan import Plan, PlannedTask
from batchcore.states import FailureReason


class Attempt(Struct, frozen=True, kw_only=True):
    """One execution of one task in its own directory.

    `directory` holds ``task/wd`` (the working directory), ``task/stdout.txt``,
    ``task/stderr.txt`` and ``control/``, which is the engine's and the runner's own and is never
    shown to the worker. `base` is the plan's base directory. `slot` counts from 0; two attempts
    that run at the same time have different slots.
    """

    run_id: str
    task: PlannedTask
    number: int
    directory: Path
    base: Path
    slot: int = 0

    @property
    def task_directory(self) -> Path:
        """What the worker may see: the working directory and, beside it, the two logs."""
        return self.directory / "task"

    @property
    def working_directory(self) -> Path:
        """Where the command starts; holds exactly the task's resources at first."""
        return self.directory / "task" / "wd"

    @property
    def control(self) -> Path:
        """What the engine and the runner remember of the attempt."""
        return self.directory / "control"


class Exit(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a command ended.

    `code` is its exit code, 128 + n for signal n, None where it never ran. `reason` is given
    where the end was not the command's own doing (``out_of_memory``, ``start_failed``, ``image``,
    ``node_lost``…); None leaves the code to speak. Times are seconds since the epoch.
    """

    code: int | None = None
    reason: FailureReason | None = None
    detail: str = ""
    native: str = ""
    retryable: bool = True
    started_at: float | None = None
    ended_at: float | None = None


class Runner(Protocol):
    """One way to run a command; every method may be called from any thread.

    Errors of the engine behind it are raised as `BackendError` (transient where it did not
    answer) or `EnvironmentNotReady`; what goes wrong with the command itself is an `Exit`.
    """

    def check(self, plan: Plan) -> Check:
        """Say whether the plan can run here; creates nothing."""
        ...

    def prepare(self, tasks: Sequence[PlannedTask], notify: Callable[[str], None]) -> None:
        """Fetch what the tasks need before the first of them starts, such as images."""
        ...

    def start(self, attempt: Attempt) -> Exit | None:
        """Start the command, or adopt it where an earlier process has started this attempt.

        Returns None when it runs or has run, and an `Exit` when it cannot be started.
        """
        ...

    def wait(self, attempt: Attempt, timeout: float | None) -> Exit | None:
        """Wait for the end of a started attempt; None after `timeout` seconds or a `wake`."""
        ...

    def stop(self, attempt: Attempt, *, kill: bool) -> None:
        """Send TERM, or KILL, to everything the attempt started; nothing if it has ended."""
        ...

    def remove(self, attempt: Attempt) -> None:
        """Forget an ended attempt and delete what running it has left outside its directory."""
        ...

    def leftovers(self, run_id: str, work: Path) -> Sequence[str]:
        """Return a line for each thing of this run that still exists outside `work`."""
        ...

    def sweep(self, run_id: str, work: Path) -> None:
        """Kill and delete everything `leftovers` names."""
        ...

    def wake(self) -> None:
        """Make every `wait` return soon, and none block any more; running commands go on."""
        ...

    def close(self) -> None:
        """Let go of connections; running commands go on. Idempotent, after `wake`."""
        ...


@runtime_checkable
class OpensShell(Protocol):
    """A runner that can also open a shell where it would run a command."""

    def shell(self, attempt: Attempt) -> Shell:
        """Make what `start` makes and start nothing; `sweep` deletes it.

        Raises `EnvironmentNotReady` where something that a shell needs is missing.
        """
        ...
