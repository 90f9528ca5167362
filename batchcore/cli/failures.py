"""Telling what went wrong: on stderr for people, with ``--json`` on stdout as data too."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

import click

from batchcore.cli.session import Session
from batchcore.credentials import MASK, is_secret
from batchcore.errors import (
    BackendBug,
    BatchcoreError,
    Detached,
    TransferError,
    UsageError,
    exit_code_of,
)

_SHOWN = 80
_BAD_PATH = {errno.ENAMETOOLONG, errno.ELOOP}
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


def tell(exc: BaseException, session: Session) -> int:
    """Say what went wrong and return the exit code."""
    if session.wants_traceback:
        session.err.line(_traceback(exc))
    error = _known(exc, session)
    if isinstance(error, Detached):
        hints = [f"  {line.strip()}" for line in error.hint.splitlines()]
        session.err.line("\n".join([error.reason, *hints]))
    else:
        session.err.line(str(error), "bad")
    if session.wants_json:
        from batchcore.report.data import error_json

        session.out.json(error_json(error))
    return exit_code_of(error)


def _known(exc: BaseException, session: Session) -> BatchcoreError:
    """Return an exception as one of this project's errors."""
    if isinstance(exc, BatchcoreError):
        return _backend_bug(exc) if isinstance(exc, BackendBug) else exc
    if isinstance(exc, click.ClickException):
        return _misuse(exc)
    if isinstance(exc, KeyboardInterrupt | click.Abort):
        return Detached("Interrupted.", hint=f"go on:  {session.same_command}")
    if isinstance(exc, OSError) and exc.errno in _DISK_FULL:
        return TransferError(
            f"the disk is full: {exc}",
            hint="free some space and run the same command again; nothing is lost",
        )
    if isinstance(exc, OSError) and exc.errno in _BAD_PATH:
        name = str(exc.filename or "a path")
        short = repr(name) if len(name) <= _SHOWN else f"{name[:_SHOWN]!r} …"
        return UsageError(
            f"{short} cannot be used: {exc.strerror}",
            hint="choose another path",
        )
    return _bug(exc)


def _misuse(exc: click.ClickException) -> UsageError:
    """Return a mistake in the words of the command, with the word that may be meant."""
    reason = " ".join(exc.message.split()).rstrip(".")
    hint = ""
    if isinstance(exc, click.NoSuchOption):
        reason = f"there is no option {exc.option_name}"
        if exc.possibilities:
            hint = f"did you mean {exc.possibilities[0]}?"
    elif isinstance(exc, click.BadParameter):
        reason = " ".join(exc.format_message().split()).rstrip(".")
    ctx = exc.ctx if isinstance(exc, click.UsageError) else None
    if ctx and not hint:
        hint = f"see: {ctx.command_path} --help"
    if ctx and isinstance(exc, click.MissingParameter):
        example = " ".join((ctx.command.epilog or "").removeprefix("Example:").split())
        hint = f"for example: {example}; {hint}" if example else hint
    return UsageError(reason[:1].lower() + reason[1:], hint=hint)


def _bug(exc: BaseException) -> BatchcoreError:
    """Return an error for what nobody has foreseen."""
    what = " ".join(_redacted(f"{type(exc).__name__}: {exc}").split())
    return _reported(exc, f"this is a bug in batchcore or in a plugin: {what}")


def _backend_bug(exc: BackendBug) -> BackendBug:
    """Return the error with what is to be said of its cause, and no credential of it."""
    reported = _reported(exc, _redacted(exc.reason))
    return BackendBug(reported.reason, hint=f"{reported.hint}; {exc.hint}")


def _reported(exc: BaseException, reason: str) -> BatchcoreError:
    """Write the traceback to a file and return an error that names it."""
    try:
        place = _write_report(_traceback(exc))
    except OSError:
        hint = "add --traceback to see where"
    else:
        hint = f"the traceback is in {place}; please report it. It is safe to run again"
    return BatchcoreError(reason, hint=hint)


def _traceback(exc: BaseException) -> str:
    """Return a traceback; the values of variables are not part of it."""
    return _redacted("".join(traceback.format_exception(exc)).rstrip())


def _redacted(text: str) -> str:
    """Leave out the lines that hold a credential, such as the URL in a library's message."""
    return "\n".join(MASK if is_secret((), line) else line for line in text.split("\n"))


def _write_report(text: str) -> Path:
    """Put a traceback into the runs directory where there is one, else into the temporary one."""
    name = f"batchcore-error-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    try:
        return _write(_runs_directory() / name, text)
    except (OSError, BatchcoreError):
        return _write(Path(tempfile.gettempdir()) / name, text)


def _runs_directory() -> Path:
    from batchcore.cli.find import runs_directory

    return runs_directory()


def _write(path: Path, text: str) -> Path:
    from importlib.metadata import version

    about = f"batchcore {version('batchcore')}, Python {sys.version}\n\n"
    # Exclusive: nobody can have put a link here for us to follow.
    with open(path, "x", opener=_private, encoding="utf-8", errors="backslashreplace") as file:
        file.write(about + text)
    return path


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
