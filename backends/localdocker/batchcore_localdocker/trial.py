"""One container, limited as tasks are, that tells what it sees."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docker import APIClient  # noqa: TID253 - only loaded once the backend is used
from msgspec import Struct

from batchcore_localdocker.errors import docker_errors

MEMORY = 64 * 2**20
PIDS = 64

_SECONDS = 60
_INSIDE = "/batchcore-doctor"
_FILE = "mine"
# Nothing but words that every shell knows itself: an image may have no other program.
_SCRIPT = f"""\
tell() {{ [ -r "$2" ] && read -r value <"$2" && echo "$1 $value"; }}
cd /sys/fs/cgroup
tell memory memory.max || tell memory memory/memory.limit_in_bytes
tell pids pids.max || tell pids pids/pids.max
[ ! -d {_INSIDE} ] || : >{_INSIDE}/{_FILE}
"""


class Trial(Struct, frozen=True, kw_only=True):
    """How the container ended, and what it saw: limits, None where it saw none.

    `owner` is the user of the file that it wrote, None where no directory was shared.
    """

    code: int
    detail: str
    memory: int | None
    pids: int | None
    owner: int | None


def try_container(
    client: APIClient, image: str, directory: Path | None, labels: Mapping[str, str]
) -> Trial:
    """Run a container as this user, with `directory` mounted, and remove it.

    Raises `BackendError` where the daemon cannot make, start or watch it.
    """
    with docker_errors("running a container"):
        made = client.create_container_from_config(  # type: ignore[no-untyped-call]
            _config(image, directory, labels)
        )
        try:
            client.start(made["Id"])
            ended = client.wait(made["Id"], timeout=_SECONDS)
            text = client.logs(made["Id"], stdout=True, stderr=True).decode(errors="replace")
        finally:
            client.remove_container(made["Id"], v=True, force=True)
    lines = dict(line.split(maxsplit=1) for line in text.splitlines() if len(line.split()) > 1)
    written = directory / _FILE if directory else None
    return Trial(
        code=int(ended["StatusCode"]),
        detail=" ".join(text.split()),
        memory=_number(lines.get("memory", "")),
        pids=_number(lines.get("pids", "")),
        owner=written.stat().st_uid if written and written.exists() else None,
    )


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _config(image: str, directory: Path | None, labels: Mapping[str, str]) -> dict[str, Any]:
    mounts = [{"Type": "bind", "Source": str(directory), "Target": _INSIDE}] if directory else []
    return {
        "Image": image,
        "Entrypoint": ["/bin/sh", "-c", _SCRIPT],
        "Cmd": [],
        "User": f"{os.getuid()}:{os.getgid()}",
        "NetworkDisabled": True,
        "Labels": dict(labels),
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "Mounts": mounts,
            "Init": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges:true"],
            "Memory": MEMORY,
            "MemorySwap": MEMORY,
            "PidsLimit": PIDS,
            "LogConfig": {"Type": "json-file", "Config": {}},
        },
    }
