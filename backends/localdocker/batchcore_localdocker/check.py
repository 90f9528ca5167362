"""What can be said of a plan before any container is made."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from docker.utils import parse_repository_tag  # noqa: TID253 - only loaded once it is used

from batchcore.backend import Check
from batchcore.errors import BackendError, EnvironmentNotReady, Problem
from batchcore.local import secretfiles
from batchcore.local.capacity import beyond_capacity, beyond_disk
from batchcore.plan import Plan
from batchcore_localdocker.connection import Connection
from batchcore_localdocker.errors import docker_errors
from batchcore_localdocker.images import Images, digest_of
from batchcore_localdocker.settings import LocalDockerSettings
from batchcore_localdocker.translate import mount_source

LEAST_MEMORY = 6 * 2**20


def check_plan(
    plan: Plan, connection: Connection, images: Images, settings: LocalDockerSettings
) -> Check:
    """Find what the daemon, the images and this machine lack; fingerprint the images.

    Raises `EnvironmentNotReady` where no daemon answers, where it cannot run Linux containers,
    where an image is not here and its registry does not answer, or where secrets have no place.
    """
    with docker_errors("asking what the daemon is"):
        info: Mapping[str, Any] = connection.client.info()
        version: Mapping[str, Any] = connection.client.version()
    refuse_daemon(info, version)
    if any(task.secrets for task in plan.tasks):
        secretfiles.place(os.environ)
    problems = [
        *_image_less(plan),
        *_sizes(plan, info),
        *_gpus(plan, info),
        *beyond_disk(plan),
        *_mounts(plan),
        *_read_only_root(plan, settings),
    ]
    notes = [*_notes(plan, info)]
    fingerprint = {}
    for name, index in _first_uses(plan).items():
        try:
            fingerprint[name] = _digest(name, images, settings)
        except BackendError as exc:
            if exc.transient:
                raise
            problems.append(_no_image(name, index, exc.reason))
            continue
        if "@" not in name and (parse_repository_tag(name)[1] or "latest") == "latest":
            notes.append(f"the image {name!r} names no version: what it means can change")
    return Check(problems=problems, notes=notes, fingerprint=fingerprint)


def refuse_daemon(info: Mapping[str, Any], version: Mapping[str, Any]) -> None:
    """Raise `EnvironmentNotReady` where a daemon cannot keep what this backend promises.

    Podman's daemon (4.3.1 tried) speaks Docker's API, but a container there does not tell that it
    ran out of memory, and its events do not tell that it was killed.
    """
    if info.get("OSType") != "linux":
        raise EnvironmentNotReady(
            f"the Docker daemon runs {info.get('OSType')} containers, and tasks need Linux ones",
            hint="switch Docker Desktop to Linux containers",
        )
    if any("podman" in str(part.get("Name")).lower() for part in version.get("Components") or ()):
        raise EnvironmentNotReady(
            "Podman answers in Docker's place, and it does not tell when a task ran out of memory "
            "or was stopped from outside",
            hint="point DOCKER_HOST to a Docker daemon, or use --backend local-process",
        )


def _digest(name: str, images: Images, settings: LocalDockerSettings) -> str:
    image = images.local(name)
    if image is not None and settings.pull != "always":
        return digest_of(name, image)
    if settings.pull == "never":
        raise BackendError("it is not on this machine, and pull = never")
    return images.registry_digest(name)


def _first_uses(plan: Plan) -> dict[str, int]:
    """Return every image with the index of the first task that uses it."""
    uses: dict[str, int] = {}
    for index, task in enumerate(plan.tasks):
        if task.image:
            uses.setdefault(task.image, index)
    return uses


def _no_image(name: str, index: int, reason: str) -> Problem:
    return Problem(
        code="BC2501",
        reason=f"there is no image {name!r}: {reason}",
        hint=f"type `docker build -t {name} .` where its Dockerfile is, or correct the name; "
        "`docker login` if its registry wants to know you",
        key=f"tasks[{index}].image",
    )


def _image_less(plan: Plan) -> Iterator[Problem]:
    """Find tasks without an image; a job that forgot it is told once, not once a task."""
    lacking = [index for index, task in enumerate(plan.tasks) if not task.image]
    if lacking:
        more = f" and {len(lacking) - 1} more have" if len(lacking) > 1 else " has"
        yield Problem(
            code="BC2202",
            reason=f"task {plan.tasks[lacking[0]].id!r}{more} no image, and local-docker runs "
            "every task in one",
            hint='give the task or the job image = "NAME:TAG", or use --backend local-process',
            key=f"tasks[{lacking[0]}].image",
        )


def _sizes(plan: Plan, info: Mapping[str, Any]) -> Iterator[Problem]:
    return beyond_capacity(
        plan,
        processors=int(info.get("NCPU") or 0),
        memory=int(info.get("MemTotal") or 0),
        least_memory=LEAST_MEMORY,
        who="the Docker daemon",
    )


def _gpus(plan: Plan, info: Mapping[str, Any]) -> Iterator[Problem]:
    """Find out whether the daemon can hand out GPUs at all; it does not say how many it has."""
    asking = [index for index, task in enumerate(plan.tasks) if task.requirements.gpus]
    if asking and "nvidia" not in (info.get("Runtimes") or {}):
        yield Problem(
            code="BC2501",
            reason="a task asks for gpus, and the Docker daemon has no runtime for them",
            hint="install NVIDIA's Container Toolkit where the daemon runs, "
            "or leave out requirements.gpus",
            key=f"tasks[{asking[0]}].requirements.gpus",
        )


def _mounts(plan: Plan) -> Iterator[Problem]:
    """Find mounts that cannot be made; one that many tasks share is named once."""
    seen = set()
    for index, task in enumerate(plan.tasks):
        for mount in task.mounts:
            if mount in seen:
                continue
            seen.add(mount)
            key = f"tasks[{index}].mounts[{mount.path}].source"
            source = mount_source(mount, Path(plan.base))
            if source is None:
                yield Problem(
                    code="BC2501",
                    reason=f"local-docker cannot mount {mount.source!r}: it is not a directory",
                    hint="mount a directory of this machine, or make the files resources",
                    key=key,
                )
            elif not source.is_dir():
                yield Problem(
                    code="BC2205",
                    reason=f"there is no directory {str(source)!r} to mount at {mount.path}",
                    hint=f"create it; relative sources start at {plan.base}",
                    key=key,
                )


def _read_only_root(plan: Plan, settings: LocalDockerSettings) -> Iterator[Problem]:
    """Find root tasks that could not be given their files; the first stands for all."""
    asking = [index for index, task in enumerate(plan.tasks) if task.user == "root"]
    if asking and settings.read_only:
        yield Problem(
            code="BC2501",
            reason="a root task gets its files copied into its container; read_only forbids that",
            hint="leave out read_only, or user = root",
            key=f"tasks[{asking[0]}].user",
        )


def _notes(plan: Plan, info: Mapping[str, Any]) -> Iterator[str]:
    limited = any(task.requirements.memory_bytes for task in plan.tasks)
    if limited and not info.get("MemoryLimit", True):
        yield "this Docker daemon cannot limit memory: the tasks' requirements are not enforced"
