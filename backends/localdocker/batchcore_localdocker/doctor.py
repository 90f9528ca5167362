"""Whether this machine's Docker can run tasks, tried with an image that is here already."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from docker import APIClient  # noqa: TID253 - only loaded once the backend is used

from batchcore.backend import Finding
from batchcore.errors import BackendError
from batchcore.units import show_bytes
from batchcore_localdocker.check import refuse_daemon
from batchcore_localdocker.connection import Connection, daemon_address
from batchcore_localdocker.errors import docker_errors
from batchcore_localdocker.images import Images
from batchcore_localdocker.orphans import remove_orphans
from batchcore_localdocker.settings import LocalDockerSettings
from batchcore_localdocker.sharing import daemon_sees
from batchcore_localdocker.trial import MEMORY, PIDS, Trial, try_container

LABELS = {"batchcore.role": "doctor"}

_LEAST_FREE = 2 * 2**30
_MOST_IMAGES = 20
_CGROUPS = "see the line of cgroups in `docker info`, and the kernel's boot options for cgroups"


def examine(settings: LocalDockerSettings) -> Iterator[Finding]:
    """Ask the daemon what it is and can, run one container, and look for what was left behind.

    Raises `EnvironmentNotReady` where no daemon answers, or one that cannot run tasks.
    """
    connection = Connection(slots=1)
    try:
        client = connection.client
        with docker_errors("asking what the daemon is"):
            info: Mapping[str, Any] = client.info()
            version: Mapping[str, Any] = client.version()
        refuse_daemon(info, version)
        yield Finding("ok", f"Docker {version.get('Version')}, {_address(client)}")
        yield from _limits(info)
        yield _space(info)
        yield _gpus(info)
        yield from _trials(connection, settings, info)
        yield from _left_behind(connection)
    finally:
        connection.close()


def _address(client: APIClient) -> str:
    return f"API {client.api_version}, at {daemon_address()['base_url']}"


def _limits(info: Mapping[str, Any]) -> Iterator[Finding]:
    """Name the limits that the daemon says it cannot set."""
    limits = {"MemoryLimit": "memory", "CpuCfsQuota": "processors", "PidsLimit": "processes"}
    lacking = [name for key, name in limits.items() if not info.get(key, True)]
    if lacking:
        told = f"the daemon cannot limit {' and '.join(lacking)}: tasks may take all there is"
        yield Finding("warning", told, _CGROUPS)


def _space(info: Mapping[str, Any]) -> Finding:
    root = str(info.get("DockerRootDir") or "")
    try:
        free = shutil.disk_usage(root).free
    except OSError:
        return Finding("ok", f"the disk of its images, {root}, is not this machine's to look at")
    told = f"its images are in {root}, {show_bytes(free)} free"
    if free < _LEAST_FREE:
        return Finding("warning", told, "delete images that nobody needs: docker image prune")
    return Finding("ok", told)


def _gpus(info: Mapping[str, Any]) -> Finding:
    there = "nvidia" in (info.get("Runtimes") or {})
    return Finding("ok", f"{'a' if there else 'no'} runtime for GPUs")


def _trials(
    connection: Connection, settings: LocalDockerSettings, info: Mapping[str, Any]
) -> Iterator[Finding]:
    """Try with real containers whatever a daemon does not tell, or tells wrongly."""
    image = _image_with_shell(connection, settings)
    if image is None:
        yield Finding(
            "warning",
            "not checked whether containers run: there is no image with /bin/sh here",
            "docker pull busybox, or build the image of your tasks",
        )
        return
    place = Path.cwd() if os.access(Path.cwd(), os.W_OK) else None
    try:
        with tempfile.TemporaryDirectory(prefix=".batchcore-doctor-", dir=place) as directory:
            yield from _tried(connection.client, image, Path(directory), info)
    except BackendError as exc:
        yield Finding("problem", exc.reason, exc.hint or "see whether `docker run` works")


def _tried(
    client: APIClient, image: str, directory: Path, info: Mapping[str, Any]
) -> Iterator[Finding]:
    with docker_errors("looking at a directory of this machine"):
        shared = daemon_sees(client, image, directory, LABELS)
    if shared:
        yield Finding("ok", f"it sees the directories of this machine ({directory.parent})")
    else:
        yield Finding(
            "warning",
            f"it does not see {directory.parent}: files are copied in and out, which is slower",
            "work in a directory that the daemon shares, or on its own machine",
        )
    yield from _judged(try_container(client, image, directory if shared else None, LABELS), info)


def _judged(trial: Trial, info: Mapping[str, Any]) -> Iterator[Finding]:
    if trial.code != 0:
        yield Finding(
            "problem",
            f"a container for a trial ended with exit code {trial.code}: {trial.detail}",
            "see whether `docker run` works",
        )
        return
    yield Finding("ok", "a container runs as you, without capabilities")
    if trial.owner not in (None, os.getuid()):
        yield Finding(
            "problem",
            f"a file that a container writes belongs to user {trial.owner}, not to you",
            "turn off the daemon's userns-remap, or its rootless mode",
        )
    elif trial.owner is not None:
        yield Finding("ok", "what it writes is yours")
    yield _set("memory", info.get("MemoryLimit", True), trial.memory, MEMORY)
    yield _set("processes", info.get("PidsLimit", True), trial.pids, PIDS)


def _set(name: str, declared: bool, seen: int | None, wanted: int) -> Finding:
    """Compare a limit as it is seen inside a container with the one that was asked for."""
    if seen is None:
        told = f"a limit of {name} is set, and cannot be seen inside a container"
        return Finding("ok", told) if declared else Finding("warning", f"no limit of {name}")
    if seen != wanted:
        return Finding("warning", f"a limit of {name} is not kept: {seen} for {wanted}", _CGROUPS)
    return Finding("ok", f"a limit of {name} holds")


def _image_with_shell(connection: Connection, settings: LocalDockerSettings) -> str | None:
    """Return the id of the smallest image here in which a shell can run."""
    images = Images(connection, settings.platform)
    with docker_errors("listing the images"):
        listed = sorted(connection.client.images(), key=lambda image: int(image["Size"]))
    for image in listed[:_MOST_IMAGES]:
        facts = images.facts(image["Id"], "doctor")
        if facts is not None and facts.has_shell:
            return facts.id
    return None


def _left_behind(connection: Connection) -> Iterator[Finding]:
    lines = remove_orphans(connection, (), dry_run=True)
    if lines:
        many = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
        yield Finding("warning", f"left behind: {lines[0]}{many}", "batchcore clean --all")
    else:
        yield Finding("ok", "no run has left containers without its directory")
