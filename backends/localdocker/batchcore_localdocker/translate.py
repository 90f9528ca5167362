"""From an attempt to the container that runs it, and from a container's state to an `Exit`."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from msgspec import Struct

from batchcore import units
from batchcore.local.environment import NODE_ROOT, worker_environment
from batchcore.local.runner import Attempt, Exit
from batchcore.model import Mount
from batchcore.states import FailureReason
from batchcore_localdocker.settings import LocalDockerSettings

RUN_LABEL = "batchcore.run"
NOT_STARTED = ".batchcore-not-started"
LOG_SIZE = "1g"

_OWN_LABELS = "batchcore."
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOT_FOUND = 127
_NOT_EXECUTABLE = 126

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


def belongs(container: Mapping[str, Any], attempt: Attempt) -> bool:
    """Return whether an inspected container is that of the attempt."""
    labels = container["Config"].get("Labels") or {}
    return identity_labels(attempt).items() <= labels.items()


def task_directory(attempt: Attempt) -> PurePosixPath:
    """Return where the worker sees its task directory: where an Azure Batch node has it."""
    return PurePosixPath(NODE_ROOT, "workitems", attempt.run_id, "job-1", attempt.task.id)


def container_config(
    attempt: Attempt, image: ImageFacts, settings: LocalDockerSettings, user: str
) -> dict[str, Any]:
    """Return the body of the request that creates an attempt's container.

    The field names are those of the Docker Engine API, v1.41, "Create a container". Nothing of
    it asks the daemon to remove or restart the container: how it ended must stay readable.
    """
    task = attempt.task
    inside = task_directory(attempt)
    environment = worker_environment(
        attempt, node_root=PurePosixPath(NODE_ROOT), task_directory=inside
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
            "batchcore.image": task.image or "",
        },
        "WorkingDir": str(inside / "wd"),
        "User": user,
        "Tty": False,
        "OpenStdin": False,
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": _host_config(attempt, image, settings),
    }
    if image.uses_shell:
        config["Entrypoint"] = ["/bin/sh", "-c", _script(inside), "sh"]
        config["Cmd"] = [*image.entrypoint, *task.command]
    return config


def _script(inside: PurePosixPath) -> str:
    return _SCRIPT.format(
        stdout=shlex.quote(str(inside / "stdout.txt")),
        stderr=shlex.quote(str(inside / "stderr.txt")),
        marker=shlex.quote(str(inside / NOT_STARTED)),
    )


def _host_config(
    attempt: Attempt, image: ImageFacts, settings: LocalDockerSettings
) -> dict[str, Any]:
    wanted = attempt.task.requirements
    log = {"Type": "local", "Config": {"max-size": LOG_SIZE, "max-file": "2"}}
    config: dict[str, Any] = {
        "Mounts": [
            _bind(attempt.task_directory, str(task_directory(attempt)), read_only=False),
            *(
                _bind(source, mount.path, read_only=mount.read_only)
                for mount in attempt.task.mounts
                if (source := mount_source(mount, attempt.base)) is not None
            ),
        ],
        "NetworkMode": settings.network,
        "Init": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "PidsLimit": settings.pids_limit,
        "LogConfig": {"Type": "none", "Config": {}} if image.uses_shell else log,
        "AutoRemove": False,
        "RestartPolicy": {"Name": "no"},
    }
    if wanted.cpus is not None:
        config["NanoCpus"] = int(wanted.cpus * 1e9)
    if wanted.memory_bytes is not None:
        config["Memory"] = wanted.memory_bytes
        config["MemorySwap"] = wanted.memory_bytes  # memory and swap together: no swap
    return config


def _bind(source: Path, target: str, *, read_only: bool) -> dict[str, Any]:
    return {"Type": "bind", "Source": str(source), "Target": target, "ReadOnly": read_only}


def mount_source(mount: Mount, base: Path) -> Path | None:
    """Return the directory of this machine that a mount names, None for a store URL."""
    source = mount.source.removeprefix("file://")
    return None if "://" in source else (base / os.path.expanduser(source)).absolute()  # noqa: PTH111 - Path raises for an unknown user


def exit_of(container: Mapping[str, Any], *, not_started: bool = False) -> Exit:
    """Return how an ended container ended; `not_started`: its command was never executed.

    The flag OOMKilled counts and not the code, as a shell may turn a killed child into any code;
    with exit code 0 the command has coped, which is no failure.
    """
    state, limit = container["State"], container["HostConfig"].get("Memory") or 0
    started, ended = _times(state)
    native = str(container["Id"])[:12]
    code = int(state["ExitCode"])
    if not_started or state["Status"] == "created":
        return Exit(
            reason=FailureReason.START_FAILED,
            detail=_start_detail(container, code),
            native=native,
            retryable=False,
            started_at=started,
            ended_at=ended,
        )
    if state.get("OOMKilled"):
        most = f"its limit of {units.show_bytes(limit)}" if limit else "what this machine has"
        return Exit(
            code=code,
            reason=FailureReason.OUT_OF_MEMORY if code else None,
            detail=f"a process of the task was killed: it needed more memory than {most}",
            native=native,
            started_at=started,
            ended_at=ended,
        )
    detail = " ".join(str(state.get("Error", "")).split())
    return Exit(code=code, detail=detail, native=native, started_at=started, ended_at=ended)


def _start_detail(container: Mapping[str, Any], code: int) -> str:
    """Say which program could not be started, and why."""
    config = container["Config"]
    words = [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]
    if writes_own_logs(container):
        words = list(config.get("Cmd") or ())
    program = repr(words[0]) if words else "the command"
    image = (config.get("Labels") or {}).get("batchcore.image") or config["Image"]
    error = " ".join(str(container["State"].get("Error", "")).split())
    if code == _NOT_FOUND:
        return f"there is no program {program} in the image {image!r}"
    if code == _NOT_EXECUTABLE:
        return f"{program} in the image {image!r} may not be executed"
    return f"{program} could not be started in the image {image!r}" + (error and f": {error}")


def writes_own_logs(container: Mapping[str, Any]) -> bool:
    """Return whether the logs go to files by themselves, and not through the daemon."""
    return bool(container["HostConfig"]["LogConfig"]["Type"] == "none")


def _times(state: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Return both times in order: Docker has been seen to end a container before its start."""
    started, ended = seconds(state.get("StartedAt")), seconds(state.get("FinishedAt"))
    if started is not None and ended is not None:
        ended = max(started, ended)
    return started, ended


def seconds(text: str | None) -> float | None:
    """Return one of Docker's times as seconds since the epoch; its year 1 means never."""
    if not text or text.startswith("0001-"):
        return None
    return datetime.fromisoformat(text).timestamp()
