"""The verb `drive`."""

from __future__ import annotations

from contextlib import ExitStack

import click

from batchcore.cli.completion import run_names
from batchcore.cli.execute import close, exit_code, watched
from batchcore.cli.find import find_run, run_option, typed_name
from batchcore.cli.options import traceback_option
from batchcore.cli.session import Session
from batchcore.errors import BatchcoreError, Conflict, Detached
from batchcore.life.background import say_ready
from batchcore.life.manage import go_on
from batchcore.record import Record


@click.command(epilog="Example:  batchcore drive sum-of-powers-7f3a")
@click.argument("run", metavar="RUN", shell_complete=run_names)
@click.option("--ready", type=int, default=-1, hidden=True)
@run_option
@traceback_option
@click.pass_obj
def drive(session: Session, /, *, run: str, ready: int, runs: str | None) -> int:
    """Drive a run; what works in the background after submit and Ctrl-C.

    A service manager can start it too: it needs neither a terminal nor the job file. What failed
    for good is not tried again. TERM makes it leave; wait goes on.
    """
    found = find_run(run, runs)
    name = typed_name(found, run, runs)

    def leave(error: BatchcoreError, record: Record) -> BatchcoreError:  # noqa: ARG001 - the protocol's
        code = error.signal_exit if isinstance(error, Detached) else Detached.exit_code
        return Detached(error.reason, hint=f"go on:  batchcore wait {name}", signal_exit=code)

    word = ExitStack()  # said once: later the descriptor may be that of another file
    word.callback(say_ready, ready)
    try:
        with watched(session, found, name) as progress:
            go_on(
                found,
                [progress],
                leave=leave,
                held=word.close,
                background=True,
            )
    except Conflict:
        word.close()  # somebody drives it: all that the other process wants to know
        raise
    report = found.report()
    close(session, report, progress.seconds, name, quiet=False, again="")
    return exit_code(report.state)
