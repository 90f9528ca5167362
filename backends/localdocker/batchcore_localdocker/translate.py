"""From an attempt to the container that runs it."""

from __future__ import annotations

import os
import re
import shlex
import socket
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from msgspec import Struct

from batchcore.local import secretfiles
from batchcore.local.environment import NODE_ROOT, worker_environment
from batchcore.local.runner import Attempt
from batchcore.model import Mount, Requirements
from batchcore_localdocker.settings import LocalDockerSettings

RUN_LABEL = "batchcore.run"
COPIED_LABEL = "batchcore.copied"
DIRECTORY_LABEL = "batchcore.directory"
NOT_STARTED = ".batchcore-not-started"
LOG_SIZE = "1g"

_MACHINE_ID = Path("/etc/machine-id")

# What root in a container needs to be of use; never what reaches beyond the container.
ROOT_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID")

_OWN_LABELS = "batchcore."
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# The shell's words are the user's argv, untouched. It sets no variable, as one of that name may
# be in the environment. A command that cannot be executed leaves a file, so that it is told apart
# from one that exits 126 or 127: most shells then leave through the trap, bash goes on.
_SCRIPT = """\
batchcore_failed() {{ : >{marker}; exit "$1"; }}
trap ': >{marker}' EXIT
if [ -n "${{BASH_VERSION-}}" ]; then shopt -s execfail; fi
unset TINI_KILL_PROCESS_GROUP
exec >>{stdout} 2>>{stderr}
exec "$@" || batchcore_failed "$?"
"""

_SHELL = "if command -v bash >/dev/null; then exec bash; else exec sh; fi"


class ImageFacts(Struct, frozen=True, kw_only=True):
    """What has to be known of an image to start a command in it.

    `id` is the daemon's own, so that a tag that moves in the middle of a run changes nothing.
    `entrypoint` and the names of `env` are the image's; `has_shell` says whether there is a
    ``/bin/sh``.
    """

    id: str
    entrypoint: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    has_shell: bool = False

    @property
    def uses_shell(self) -> bool:
        """Whether a shell writes the logs; some shells drop variables they have no name for."""
        return self.has_shell and all(_NAME.fullmatch(name) for name in self.env)


class Placement(Struct, frozen=True, kw_only=True):
    """What is decided for an attempt's container beside what its task says.

    `user` is ``uid:gid``. `network` is a NetworkMode of Docker. `copied` says that the daemon
    cannot share the task's directory with this machine: files are copied in and out. `secrets`
    is the directory of this machine that holds the attempt's secrets.
    """

    user: str
    network: str
    copied: bool = False
    secrets: Path | None = None


def container_name(attempt: Attempt) -> str:
    """Return the container's name, the same in every process that asks."""
    return f"bc-{attempt.run_id}-{attempt.task.id}-{attempt.number}"


def identity_labels(attempt: Attempt) -> dict[str, str]:
    """Return the labels by which an attempt's container is known to be this attempt's."""
    return {
        RUN_LABEL: attempt.run_id,
        "batchcore.task": attempt.task.id,
        "batchcore.attempt": str(attempt.number),
    }


def this_machine() -> str:
    """Return what tells this machine from others that share its daemon, or its name.

    The id beside the name is that of machine-id(5), empty where there is none.
    """
    try:
        own = _MACHINE_ID.read_text(errors="replace").strip()
    except OSError:
        own = ""
    return f"{socket.gethostname()}/{own}"


def directory_label(attempt: Attempt) -> str:
    """Return the label that tells where a container's run directory is: machine and path."""
    return f"{this_machine()}:{attempt.directory.parent.parent.parent}"


def is_copied(container: Mapping[str, Any]) -> bool:
    """Return whether an inspected container's files must be taken out of it at its end."""
    return COPIED_LABEL in (container["Config"].get("Labels") or {})


def belongs(container: Mapping[str, Any], attempt: Attempt) -> bool:
    """Return whether an inspected container is that of the attempt."""
    labels = container["Config"].get("Labels") or {}
    return identity_labels(attempt).items() <= labels.items()


def task_directory(attempt: Attempt) -> PurePosixPath:
    """Return where the worker sees its task directory: where an Azure Batch node has it."""
    return PurePosixPath(NODE_ROOT, "workitems", attempt.run_id, "job-1", attempt.task.id)


def container_config(
    attempt: Attempt, image: ImageFacts, settings: LocalDockerSettings, place: Placement
) -> dict[str, Any]:
    """Return the body of the request that creates an attempt's container.

    The field names are those of the Docker Engine API, v1.41, "Create a container". Nothing of
    it asks the daemon to remove or restart the container: how it ended must stay readable.
    """
    task = attempt.task
    inside = task_directory(attempt)
    environment = worker_environment(
        attempt,
        node_root=PurePosixPath(NODE_ROOT),
        task_directory=inside,
        secrets=secretfiles.INSIDE if task.secrets else None,
    )
    # Makes the init process pass TERM on to the whole group, not to its child alone.
    environment["TINI_KILL_PROCESS_GROUP"] = "1"
    config: dict[str, Any] = {
        "Image": image.id,
        "Cmd": list(task.command),
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "Labels": {
            **{k: str(v) for k, v in task.labels.items() if not k.startswith(_OWN_LABELS)},
            **identity_labels(attempt),
            DIRECTORY_LABEL: directory_label(attempt),
            "batchcore.image": task.image or "",
            **({COPIED_LABEL: "yes"} if place.copied else {}),
        },
        "WorkingDir": str(inside / "wd"),
        "User": place.user,
        "Tty": False,
        "OpenStdin": False,
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": _host_config(attempt, image, settings, place),
    }
    if image.uses_shell:
        config["Entrypoint"] = ["/bin/sh", "-c", _script(inside), "sh"]
        config["Cmd"] = [*image.entrypoint, *task.command]
    return config


def shell_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same request for a container that opens a shell on a terminal."""
    attached = ("Tty", "OpenStdin", "StdinOnce", "AttachStdin", "AttachStdout", "AttachStderr")
    return {
        **config,
        "Entrypoint": ["/bin/sh", "-c", _SHELL],
        "Cmd": [],
        **dict.fromkeys(attached, True),
    }


def _script(inside: PurePosixPath) -> str:
    return _SCRIPT.format(
        stdout=shlex.quote(str(inside / "stdout.txt")),
        stderr=shlex.quote(str(inside / "stderr.txt")),
        marker=shlex.quote(str(inside / NOT_STARTED)),
    )


def _host_config(
    attempt: Attempt, image: ImageFacts, settings: LocalDockerSettings, place: Placement
) -> dict[str, Any]:
    log = {"Type": "local", "Config": {"max-size": LOG_SIZE, "max-file": "2"}}
    config: dict[str, Any] = {
        "Mounts": _mounts(attempt, place),
        "NetworkMode": place.network,
        "Init": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "PidsLimit": settings.pids_limit,
        "LogConfig": {"Type": "none", "Config": {}} if image.uses_shell else log,
        "AutoRemove": False,
        "RestartPolicy": {"Name": "no"},
        **_limits(attempt.task.requirements),
    }
    if attempt.task.user == "root":
        config["CapAdd"] = list(ROOT_CAPABILITIES)
    if settings.read_only:
        config["ReadonlyRootfs"] = True
        config["Tmpfs"] = {"/tmp": "rw,nosuid,nodev,mode=1777"}  # noqa: S108 - in the container
    return config


def _limits(wanted: Requirements) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if wanted.cpus is not None:
        config["NanoCpus"] = int(wanted.cpus * 1e9)
    if wanted.memory_bytes is not None:
        config["Memory"] = wanted.memory_bytes
        config["MemorySwap"] = wanted.memory_bytes  # memory and swap together: no swap
    if wanted.gpus:
        config["DeviceRequests"] = [{"Count": wanted.gpus, "Capabilities": [["gpu"]]}]
    return config


def _mounts(attempt: Attempt, place: Placement) -> list[dict[str, Any]]:
    mounts = []
    if not place.copied:
        mounts.append(_bind(attempt.task_directory, str(task_directory(attempt)), read_only=False))
    if place.secrets is not None:
        mounts.append(_bind(place.secrets, str(secretfiles.INSIDE), read_only=True))
    return mounts + [
        _bind(source, mount.path, read_only=mount.read_only)
        for mount in attempt.task.mounts
        if (source := mount_source(mount, attempt.base)) is not None
    ]


def _bind(source: Path, target: str, *, read_only: bool) -> dict[str, Any]:
    return {"Type": "bind", "Source": str(source), "Target": target, "ReadOnly": read_only}


def mount_source(mount: Mount, base: Path) -> Path | None:
    """Return the directory of this machine that a mount names, None for a store URL."""
    source = mount.source.removeprefix("file://")
    return None if "://" in source else (base / os.path.expanduser(source)).absolute()  # noqa: PTH111 - Path raises for an unknown user
