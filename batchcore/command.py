"""The command of a task: a list of words, a plain line split into one, or a line for a shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from batchcore.credentials import MASK, is_secret_value
from batchcore.errors import JobError
from batchcore.shape import is_text, listed

SHELL = ("/bin/sh", "-c")
_SHELL_SYNTAX = re.compile(r"[|&;<>$`()*?~#\n!{}]")


def normalise_command(
    command: Sequence[str] | str | None, shell: str | None
) -> tuple[str, ...] | None:
    """Return a command as argv, or None where there is none; `shell` is checked and left alone.

    A plain line is split as a shell would, and refused where a shell would do more than split.
    Raises `JobError` (permanent) with key ``command`` or ``shell``.
    """
    if shell is not None:
        _check_shell(shell)
    if command is None:
        return None
    if shell is not None:
        raise _refused("command and shell are both given", "keep one of them")
    if isinstance(command, str):
        if _SHELL_SYNTAX.search(command):
            shown = MASK if is_secret_value(command) else command
            raise _refused(
                f"{shown!r} needs a shell, and a command is not given to one",
                f"write shell = {shown!r}, or the command as a list of words",
            )
        command = _split(command)
    argv = listed(command, "command")
    hint = 'write command = ["python3", "/worker.py"]'
    if not argv or not argv[0]:
        raise _refused("an empty line or word is not a command", hint)
    if not all(isinstance(word, str) for word in argv):
        raise _refused(
            f"{argv!r} is not a command: a list of words that starts with a program", hint
        )
    if not all(is_text(word) for word in argv):
        raise _refused(
            "a word of the command has a NUL character or is not Unicode",
            "put such data in a file: resources with content",
        )
    return argv


def _check_shell(shell: str) -> None:
    if not is_text(shell) or not shell.strip():
        raise _refused(
            "shell is not a line for /bin/sh", 'write shell = "sort in.csv > out.csv"', key="shell"
        )


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as exc:
        raise _refused(
            f"{line!r} cannot be split into words: {exc}", "write the command as a list of words"
        ) from exc


def _refused(reason: str, hint: str = "", key: str = "command") -> JobError:
    return JobError.of("BC2201", reason, hint=hint, key=key)
