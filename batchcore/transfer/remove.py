"""Deleting what a worker has made."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from batchcore.errors import BackendError


def remove_tree(directory: Path) -> None:
    """Delete a directory that a worker may have made hard to delete; nothing where there is none.

    By the system's own tools, which need no recursion and no path of limited length. Raises
    `BackendError` (permanent) where something stays.
    """
    remove = ["rm", "-rf"]
    for command in (remove, ["chmod", "-R", "u+rwX"], remove):
        if os.path.lexists(directory):
            subprocess.run([*command, "--", str(directory)], check=False, capture_output=True)
    if os.path.lexists(directory):
        raise BackendError(
            f"{directory} cannot be deleted",
            hint="look who owns what is in it, delete it, and run the same command again",
            where=str(directory),
        )
