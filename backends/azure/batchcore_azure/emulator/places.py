"""Where things lie on an emulated node, and what a task is told about it.

A node's root is a directory of this machine; a container sees it, or parts of it, at the path
that it has on a real node ("Azure Batch runtime environment variables", "Files and directories").
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

from msgspec import Struct

LABEL = "batchcore.emulator"  # of containers; its value is the emulator's name
NODE_ROOT = "/mnt/batch/tasks"
SHARES = {
    "Shared": "shared",
    "Startup": "startup",
    "VfsMounts": "fsmounts",
    "JobPrep": "workitems",
    "Applications": "applications",
}
_DIRECTORIES = ("applications", "fsmounts", "shared", "startup", "volatile", "workitems")
_POOL_USER, _FIRST_TASK_USER = 61_000, 61_001
_TASK_USERS = 4_000
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


class NodePlace(Struct, frozen=True):
    """One node: its root directory on this machine, and its names."""

    root: Path
    pool_id: str
    node_id: str
    dedicated: bool = True

    def make(self) -> None:
        """Make the node's directories, empty."""
        for name in _DIRECTORIES:
            (self.root / name).mkdir(parents=True, exist_ok=True, mode=0o755)

    def lose(self) -> None:
        """Remove all that is on the node."""
        shutil.rmtree(self.root, ignore_errors=True)

    def environment(self, seen_root: str) -> dict[str, str]:
        """Return the variables that say where things are, for who sees the root at this path."""
        root = PurePosixPath(seen_root)
        return {
            "AZ_BATCH_POOL_ID": self.pool_id,
            "AZ_BATCH_NODE_ID": self.node_id,
            "AZ_BATCH_NODE_IS_DEDICATED": str(self.dedicated).lower(),
            "AZ_BATCH_NODE_ROOT_DIR": str(root),
            "AZ_BATCH_NODE_SHARED_DIR": str(root / "shared"),
            "AZ_BATCH_NODE_STARTUP_DIR": str(root / "startup"),
            "AZ_BATCH_NODE_MOUNTS_DIR": str(root / "fsmounts"),
        }


class TaskPlace(Struct, frozen=True):
    """One run of a task on a node; `inside` is its directory below the node's root.

    `user` is the ``uid:gid`` that its auto-user has.
    """

    node: NodePlace
    inside: str
    user: str
    names: dict[str, str]

    @property
    def directory(self) -> Path:
        """The task's directory on this machine."""
        return self.node.root / self.inside

    @property
    def working_directory(self) -> Path:
        """Its `wd`."""
        return self.directory / "wd"

    def seen(self, root: str) -> str:
        """Return the task's directory for who sees the node's root at this path."""
        return f"{root}/{self.inside}"

    def make(self) -> None:
        """Make the task's directory afresh: a node may have run the task before."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.working_directory.mkdir(parents=True, mode=0o770)
        self.directory.chmod(0o755)

    def give(self) -> None:
        """Let the working directory, with the resource files in it, belong to the task's user."""
        uid, gid = map(int, self.user.split(":"))
        if (uid, gid) == (os.geteuid(), os.getegid()):
            return
        for folder, _, files in os.walk(self.working_directory):
            os.chown(folder, uid, gid)
            for name in files:
                os.chown(Path(folder, name), uid, gid)

    def environment(self, body: dict[str, Any], root: str) -> dict[str, str]:
        """Return the environment of a task that sees the node's root at this path."""
        own = {
            item["name"]: str(item.get("value") or "")
            for item in body.get("environmentSettings") or ()
        }
        return {
            **self.node.environment(root),
            **self.names,
            "AZ_BATCH_TASK_DIR": self.seen(root),
            "AZ_BATCH_TASK_WORKING_DIR": f"{self.seen(root)}/wd",
            **own,
        }


def task_directory(job_id: str, task_id: str) -> str:
    """Return a task's directory, relative to the root of its node."""
    return f"workitems/{job_id}/job-1/{task_id}"


def seconds(duration: str | None) -> float | None:
    """Return an ISO 8601 duration of days and less in seconds; None for none, or for no limit."""
    found = _DURATION.fullmatch(duration or "")
    if not duration or found is None:
        return None
    days, hours, minutes, rest = (float(part or 0) for part in found.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    century = 100 * 365 * 86400
    return total if total < century else None


def auto_user(body: dict[str, Any], number: int) -> str:
    """Return the ``uid:gid`` of the node's user for a task's `number`-th run in the emulator.

    One user for all tasks of scope `pool`, the default; one of its own for each run of scope
    `task`. An emulator that is not run by root has no user to give but its own.
    """
    if os.geteuid() != 0:
        return f"{os.getuid()}:{os.getgid()}"
    own = ((body.get("userIdentity") or {}).get("autoUser") or {}).get("scope") or "pool"
    uid = _FIRST_TASK_USER + number % _TASK_USERS if own.lower() == "task" else _POOL_USER
    return f"{uid}:{uid}"
