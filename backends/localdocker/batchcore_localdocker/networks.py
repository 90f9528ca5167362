"""Networks for tasks: one for each that runs, used again by the next.

To make a network costs more than to run a container in it. So an idle container of the run owns a
network, and tasks join it one after another: each has a whole network of its own while it runs,
loopback included. Nothing can stay in it, as a task's processes are gone before the next one
joins, and ended connections are not kept.
"""

from __future__ import annotations

import secrets
import threading
from collections import defaultdict
from contextlib import suppress
from typing import Any

import docker.errors as sdk  # noqa: TID253 - only loaded once the backend is used

from batchcore.errors import BatchcoreError
from batchcore.local.runner import Attempt
from batchcore_localdocker.connection import Connection
from batchcore_localdocker.containers import Containers
from batchcore_localdocker.errors import FOREIGN
from batchcore_localdocker.translate import (
    DIRECTORY_LABEL,
    RUN_LABEL,
    ImageFacts,
    container_name,
    directory_label,
)

ROLE_LABEL = "batchcore.role"
OWNER = "network"

_JOINED = "container:"
# Waits for a line of an input that nobody has, so it never ends and needs no program.
_IDLE = "read -r forever"
_NOBODY = "65534:65534"


class Networks:
    """The networks of this process's runs: who owns each, and which are free.

    Safe from any thread; raises the SDK's exceptions. What an earlier process has left running is
    taken over.
    """

    def __init__(self, connection: Connection, containers: Containers, mode: str) -> None:
        """Keep how to make a network (a NetworkMode of Docker); nothing is made."""
        self._connection = connection
        self._containers = containers
        self._mode = mode
        self._lock = threading.Lock()
        self._free: dict[str, list[str]] = {}
        self._taken: dict[str, tuple[str, str]] = {}

    def join(self, attempt: Attempt, image: ImageFacts) -> str:
        """Return the NetworkMode with which an attempt joins a network that no other is in.

        One whose image has no shell gets a network made for it alone, as does one that is root
        in its container: it could write the files that name hosts, which are the network's.
        """
        if not image.has_shell or attempt.task.user == "root":
            return self._mode
        name, run_id = container_name(attempt), attempt.run_id
        with self._lock:
            if name in self._taken:
                return _JOINED + self._taken[name][1]
            free = self._free_of(run_id)
            owner = free.pop() if free else ""
        try:
            owner = owner or self._make(attempt, image)
        except sdk.APIError:
            return self._mode  # a daemon that cannot share networks can still make them
        with self._lock:
            self._taken[name] = (run_id, owner)
        return _JOINED + owner

    def adopt(self, attempt: Attempt, mode: str) -> None:
        """Remember that an attempt which has a container already is in the network of this mode."""
        if not mode.startswith(_JOINED):
            self.leave(attempt)
            return
        name, owner = container_name(attempt), mode.removeprefix(_JOINED)
        with self._lock:
            free = self._free_of(attempt.run_id)
            former = self._taken.get(name, ("", owner))[1]
            if former != owner:
                free.append(former)
            if owner in free:
                free.remove(owner)
            self._taken[name] = (attempt.run_id, owner)

    def leave(self, attempt: Attempt) -> None:
        """Let the next attempt have the network; the attempt's container must be gone."""
        with self._lock:
            run_id, owner = self._taken.pop(container_name(attempt), ("", ""))
            if owner:
                self._free.setdefault(run_id, []).append(owner)

    def is_broken(self, attempt: Attempt) -> bool:
        """Return whether the network's owner no longer runs, and forget it then."""
        with self._lock:
            owner = self._taken.get(container_name(attempt), ("", ""))[1]
        if not owner or self._runs(owner):
            return False
        with self._lock:
            del self._taken[container_name(attempt)]
        self._containers.remove(owner)
        return True

    def forget(self, run_id: str) -> None:
        """Forget the networks of a run whose containers have all been deleted."""
        with self._lock:
            self._free.pop(run_id, None)

    def close(self) -> None:
        """Delete the networks that no attempt is in; a daemon that is away keeps them.

        They carry the run's label, so that cleaning the run deletes what is left.
        """
        with self._lock:
            free = [owner for owners in self._free.values() for owner in owners]
            self._free.clear()
        with suppress(*FOREIGN, BatchcoreError):
            self._containers.remove_all(free)

    def _free_of(self, run_id: str) -> list[str]:
        """Return a run's free networks, an earlier process's at first; the lock must be held."""
        if run_id not in self._free:
            self._free[run_id] = self._left_behind(run_id)
        return self._free[run_id]

    def _left_behind(self, run_id: str) -> list[str]:
        """Return the free networks of an earlier process; one that does not run is deleted."""
        found = self._containers.of_run(run_id)
        used: dict[str, int] = defaultdict(int)
        for container in found:
            used[container["HostConfig"]["NetworkMode"].removeprefix(_JOINED)] += 1
        owners = [c for c in found if (c["Labels"] or {}).get(ROLE_LABEL) == OWNER]
        free = [c["Id"] for c in owners if c["State"] == "running" and not used[c["Id"]]]
        self._containers.remove_all([c["Id"] for c in owners if c["State"] != "running"])
        return free

    def _make(self, attempt: Attempt, image: ImageFacts) -> str:
        client = self._connection.client
        name = f"bc-{attempt.run_id}-network-{secrets.token_hex(3)}"
        made: dict[str, Any] = client.create_container_from_config(  # type: ignore[no-untyped-call]
            _owner_config(attempt, image, self._mode), name
        )
        try:
            client.start(made["Id"])
        except sdk.APIError:
            self._containers.remove(made["Id"])
            raise
        return str(made["Id"])

    def _runs(self, owner: str) -> bool:
        try:
            container = self._connection.client.inspect_container(owner)
        except sdk.NotFound:
            return False
        return bool(container["State"]["Running"])


def _owner_config(attempt: Attempt, image: ImageFacts, mode: str) -> dict[str, Any]:
    """Return the body that creates a network's owner: as little of a container as there can be.

    Connections that have ended are not kept in the network (Linux, "IP sysctl",
    tcp_max_tw_buckets), so that the next task can use the same ports at once.
    """
    return {
        "Image": image.id,
        "Entrypoint": ["/bin/sh", "-c", _IDLE],
        "Cmd": [],
        "User": _NOBODY,
        "OpenStdin": True,
        "StopSignal": "SIGKILL",  # or a daemon that is stopped would wait for it
        "Healthcheck": {"Test": ["NONE"]},
        "Labels": {
            RUN_LABEL: attempt.run_id,
            ROLE_LABEL: OWNER,
            DIRECTORY_LABEL: directory_label(attempt),
        },
        "HostConfig": {
            "NetworkMode": mode,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges:true"],
            "PidsLimit": 8,
            "ReadonlyRootfs": True,
            "LogConfig": {"Type": "none", "Config": {}},
            "Sysctls": {"net.ipv4.tcp_max_tw_buckets": "0"},
            "RestartPolicy": {"Name": "no"},
        },
    }
