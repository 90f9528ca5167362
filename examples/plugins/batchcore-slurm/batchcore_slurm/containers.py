"""How a task's command runs on a node: as it is, or in its image."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from batchcore.local import Attempt
from batchcore_slurm.settings import SlurmSettings


class Wrapped(Struct, frozen=True, kw_only=True):
    """A command as a node starts it.

    `exports` are its variables. `before` are lines of sh that make it ready and `fail` where they
    cannot; `kill` is a line that ends what KILL to its processes would leave.
    """

    argv: tuple[str, ...]
    exports: Mapping[str, str]
    before: str = ""
    kill: str = ":"


def wrap(
    attempt: Attempt, environment: Mapping[str, str], settings: SlurmSettings, user: str
) -> Wrapped:
    """Return how an attempt's command is started; `user` is the caller's ``uid:gid``."""
    if attempt.task.image is None or settings.containers == "none":
        return Wrapped(argv=_command_here(attempt, settings), exports=environment)
    if settings.containers == "docker":
        return _docker(attempt, attempt.task.image, environment, user)
    return _apptainer(attempt, attempt.task.image, environment)


def _command_here(attempt: Attempt, settings: SlurmSettings) -> tuple[str, ...]:
    """Return the command with paths inside the image replaced by those of the nodes."""
    here = {inside: str(attempt.base / path) for inside, path in settings.image_paths.items()}
    return tuple(here.get(word, word) for word in attempt.task.command)


def _docker(attempt: Attempt, image: str, environment: Mapping[str, str], user: str) -> Wrapped:
    """Return a call of Docker's client; its daemon, not Slurm, owns the processes."""
    name = f"bc-{attempt.run_id}-{attempt.task.id}-{attempt.number}"
    wanted = attempt.task.requirements
    limits = []
    if wanted.cpus is not None:
        limits.append(f"--cpus={wanted.cpus:g}")
    if wanted.memory_bytes is not None:
        limits += [f"--memory={wanted.memory_bytes}", f"--memory-swap={wanted.memory_bytes}"]
    quoted = shlex.quote(image)
    variables = {name: value for name, value in environment.items() if name != "PATH"}
    variables |= {k: v for k, v in attempt.task.env.items() if k == "PATH"}
    return Wrapped(
        argv=(
            *("docker", "run", "--rm", "--init", f"--name={name}", f"--user={user}"),
            *("--cap-drop=ALL", "--security-opt=no-new-privileges"),
            f"--mount=type=bind,{_bind(attempt.task_directory)}",
            f"--workdir={attempt.working_directory}",
            *limits,
            *(f"--env={name}={value}" for name, value in variables.items()),
            image,
            *attempt.task.command,
        ),
        exports={"PATH": environment["PATH"]},
        before=f'docker image inspect {quoted} >/dev/null 2>&1 || docker pull {quoted} 2>"$why" '
        "|| fail 125 image\n",
        kill=f"docker rm --force {shlex.quote(name)}",
    )


def _bind(directory: Path) -> str:
    """Return the source and target of a mount, whose fields Docker reads as CSV."""
    text = str(directory).replace('"', '""')
    return f'"source={text}","target={text}"'


def _apptainer(attempt: Attempt, image: str, environment: Mapping[str, str]) -> Wrapped:
    """Return a call of Apptainer, which sees the task's directory and no other of the node."""
    place = image if "://" in image or image.endswith(".sif") else f"docker://{image}"
    directory = str(attempt.working_directory)
    variables = {name: value for name, value in environment.items() if name not in {"PATH", "HOME"}}
    variables |= {k: v for k, v in attempt.task.env.items() if k == "PATH"}
    return Wrapped(
        argv=(
            *("apptainer", "run", "--containall", "--cleanenv", f"--home={directory}"),
            *(f"--bind={attempt.task_directory}", f"--pwd={directory}"),
            *(("--nv",) if math.ceil(attempt.task.requirements.gpus or 0) else ()),
            place,
            *attempt.task.command,
        ),
        exports={
            "PATH": environment["PATH"],
            **{f"APPTAINERENV_{name}": value for name, value in variables.items()},
        },
    )
