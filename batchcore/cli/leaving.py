"""Leaving a run that goes on: the background driver takes it over, or the service has it."""

from __future__ import annotations

from batchcore.cli.session import Session
from batchcore.errors import BatchcoreError, Detached, WaitTimeout
from batchcore.life.background import hand_over
from batchcore.record import Record

_REMOTE = "what is submitted goes on at {backend}, what waits goes on with the next wait or run"


class Leaving:
    """What a command does with the run that it drives when it has to go.

    `name` is what to type to name the run; a `remote` one is left to its service.
    """

    def __init__(self, name: str, *, remote: bool) -> None:
        """Do nothing yet."""
        self._name = name
        self._remote = remote

    def __call__(self, error: BatchcoreError, record: Record) -> BatchcoreError:
        """Hand the run over and return what to tell; see `batchcore.driver.drive.Leave`."""
        hint, several = f"go on:  batchcore wait {self._name}", len(record.header.task_ids) > 1
        if self._remote:
            reason = error.reason
            if record.store:
                hint += f"\n{elsewhere(record.store)}"
        else:
            try:
                reason = f"Detached. {in_background(hand_over(record))}"
                hint = next_commands(self._name, several=several)
            except BatchcoreError as exc:
                if isinstance(error, WaitTimeout):
                    text = f"{error.reason}; nothing else starts: {exc.reason}"
                    return WaitTimeout(text, hint=error.hint, where=error.where)
                reason = f"{error.reason} {exc.reason}"
        if isinstance(error, WaitTimeout):
            return error
        code = error.signal_exit if isinstance(error, Detached) else Detached.exit_code
        return Detached(reason, hint=hint, signal_exit=code)


def in_background(pid: int) -> str:
    """Say that a process goes on with a run."""
    return f"It goes on in the background, driven by process {pid}."


def at_service(backend: str) -> str:
    """Say that a service goes on with a run, as far as it can alone."""
    text = _REMOTE.format(backend=backend)
    return f"{text[:1].upper()}{text[1:]}."


def elsewhere(store: str) -> str:
    """Return what to type on another machine to take up the run there."""
    return f"attach: batchcore attach {store}   (on another machine)"


def next_commands(name: str, *, several: bool) -> str:
    """Return what to type next for a run that goes on, a line each."""
    task = " TASK" if several else ""
    return "\n".join(
        [
            f"look:   batchcore status {name}",
            f"logs:   batchcore logs -f {name}{task}",
            f"wait:   batchcore wait {name}",
            f"stop:   batchcore cancel {name}",
        ]
    )


def say_submitted(session: Session, text: str, name: str, store: str, *, several: bool) -> None:
    """Say on stderr that a run was submitted, and what to type next, here and elsewhere."""
    session.err.line(f"{session.err.marks.good} submitted. {text}", "good")
    for line in next_commands(name, several=several).splitlines():
        session.err.line(f"  {line}")
    if store:
        session.err.line(f"  {elsewhere(store)}")
