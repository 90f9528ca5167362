"""A list of words as the one command line that Azure Batch takes, and back. Pure.

Batch splits a command line itself and starts no shell: single and double quotes group, nothing
is expanded ("Jobs and tasks in Azure Batch", Microsoft Learn). How it treats a backslash outside
quotes is not documented, so every word that is not plain stands in single quotes, where it means
itself, a line break too; only a single quote in a word needs double quotes. Not tried on the
real service.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

LONGEST_ARGUMENT = 128 * 1024
"""The longest word that Linux starts a program with, in bytes, its end included."""


def join(words: Sequence[str]) -> str:
    """Return the command line that means these words."""
    return shlex.join(words)


def split(line: str) -> list[str]:
    """Return the words that a command line means."""
    return shlex.split(line)


def fault(words: Sequence[str]) -> str:
    """Return why a command cannot be said in one line, empty where it can."""
    if any("\0" in word for word in words):
        return "has a NUL character"
    if any(len(word.encode()) >= LONGEST_ARGUMENT for word in words):
        return "has a word above 128 KiB, which Linux does not pass on"
    return ""
