"""The edge of the program: every way a command can end becomes an exit code."""

from __future__ import annotations

from typing import Any

import click

from batchcore.cli.session import Session

CLOSED = 141


def call(command: click.Command, session: Session) -> int:
    """Run a command and return the process's exit code; no exception leaves this function."""
    try:
        return _answer(command, session)
    except BrokenPipeError:
        return _closed(session)
    except (Exception, SystemExit, KeyboardInterrupt) as exc:  # noqa: BLE001 - the last resort
        from batchcore.cli.failures import tell

        try:
            return tell(exc, session)
        except BrokenPipeError:
            return _closed(session)


def _answer(command: click.Command, session: Session) -> int:
    """Parse the words and call the verb; click's own `main` has exit codes of its own."""
    try:
        name = command.name or session.program[-1]
        with command.make_context(name, list(session.argv), obj=session) as ctx:
            result: Any = command.invoke(ctx)
    except click.exceptions.Exit as exc:
        return exc.exit_code
    return result if isinstance(result, int) else 0


def _closed(session: Session) -> int:
    session.out.silence()
    return CLOSED
