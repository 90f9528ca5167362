"""Containers of runs whose run directory is gone, so that no run can clean up after itself."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from batchcore_localdocker.connection import Connection
from batchcore_localdocker.containers import Containers
from batchcore_localdocker.errors import docker_errors
from batchcore_localdocker.translate import DIRECTORY_LABEL, RUN_LABEL, this_machine

_AT_WORK = {"running", "paused", "restarting"}


def remove_orphans(connection: Connection, keep: Collection[str], *, dry_run: bool) -> list[str]:
    """Delete such containers and return a line for each; with `dry_run` only the lines.

    Those of runs in `keep` stay. A container tells the machine and the directory of its run; one
    that does not, or comes from another machine, stays too: its directory may be there. So
    does one at work where what the run directory was in is gone too: it may be out of reach.
    """
    with docker_errors("looking for containers of runs that are gone"):
        listed = connection.client.containers(
            all=True, filters={"label": [RUN_LABEL, DIRECTORY_LABEL]}
        )
        found = [one for one in listed if _is_orphan(one, keep)]
        if not dry_run:
            Containers(connection).remove_all([one["Id"] for one in found])
    return sorted(map(_line, found))


def _is_orphan(container: Mapping[str, Any], keep: Collection[str]) -> bool:
    labels = container["Labels"] or {}
    machine, _, directory = labels[DIRECTORY_LABEL].partition(":")
    return (
        labels[RUN_LABEL] not in keep
        and machine == this_machine()
        and os.path.isabs(directory)  # noqa: PTH117 - a label may be any text
        and _is_gone(directory)
        and (container["State"] not in _AT_WORK or Path(directory).parent.is_dir())
    )


def _is_gone(directory: str) -> bool:
    """Return whether it is sure that there is no such directory; another user's may be closed."""
    try:
        os.lstat(directory)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def _line(container: Mapping[str, Any]) -> str:
    names: Sequence[str] = container["Names"] or [container["Id"][:12]]
    directory = container["Labels"][DIRECTORY_LABEL].partition(":")[2]
    return f"container {names[0].lstrip('/')} ({container['State']}); {directory} is gone"
