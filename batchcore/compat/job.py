"""A client's settings and tasks as a job of batchcore."""

from __future__ import annotations

import hashlib
import re
import secrets
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from batchcore.compat.config import Config
from batchcore.errors import JobError, TransferError
from batchcore.model import Job, Output, Resource, Task
from batchcore.transfer.files import copy, whole_file

# Batch gave resources mode 0770 where a task did not say otherwise, so a script could be run.
MODE = "0755"
_SECONDS = 3600


def resource(config: Config, file_path: str, container_path: str) -> Resource:
    """Return a resource with the content that a file has now; it may change or go after that.

    Raises `JobError` (BC2205, permanent) where it cannot be read.
    """
    source = config.directory / file_path
    try:
        # As the run directory will be; it is made before the run.
        config.run_directory.mkdir(parents=True, mode=0o700, exist_ok=True)
        kept = _keep(source, config.run_directory / "resources")
    except OSError as exc:
        raise JobError.of(
            "BC2205",
            f"the resource {source} cannot be read: {exc.strerror}",
            hint="file_path starts at BATCH_DIRECTORY; write the file before it becomes a resource",
            key="file_path",
        ) from exc
    return Resource(container_path, source=str(kept), mode=MODE)


def _keep(source: Path, directory: Path) -> Path:
    """Copy a file to a name made of its content, where it is not yet."""
    with source.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        kept = directory / digest
        if kept.exists():
            return kept
        stream.seek(0)
        with whole_file(kept) as target:
            if copy(stream, target, str(source)).sha256 != digest:
                raise TransferError(
                    f"{source} changed while it was read",
                    hint="make it a resource when it is complete",
                    where=str(source),
                )
    return kept


def task(
    config: Config,
    number: int,
    resources: Iterable[Resource],
    outputs: Iterable[Output],
    command_line: str | Sequence[str] | None,
) -> Task:
    """Return the task with this number; its command line is split into words, and no shell runs."""
    line = config.COMMAND_LINE if command_line is None else command_line
    command = _words(line) if isinstance(line, str) else line
    return Task(f"Task_{number}", command=command, resources=[*resources], outputs=[*outputs])


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as exc:
        raise JobError.of(
            "BC2201",
            f"the command line {line!r} cannot be split into words: {exc}",
            hint="close its quotes",
            key="command_line",
        ) from exc


def job(config: Config, image: object, tasks: Sequence[Task], backend: str) -> Job:
    """Return the job, with the options of `azure` where it runs there."""
    options = {"azure": azure_options(config, image)} if backend == "azure" else {}
    return Job(config.JOB_ID, image=config.DOCKER_IMAGE, tasks=tasks, backend_options=options)


def azure_options(config: Config, image: object = None) -> dict[str, Any]:
    """Return the options of `azure` that super_batch's settings stand for.

    Without a count of machines those of `azure` hold, for a pool that is not there yet.
    """
    seconds = config.STORAGE_ACCESS_DURATION_HRS * _SECONDS
    machines = config.POOL_NODE_COUNT + config.POOL_LOW_PRIORITY_NODE_COUNT
    options = {
        "pool": config.POOL_ID,
        "vm_size": config.POOL_VM_SIZE,
        "nodes": config.POOL_NODE_COUNT if machines else None,
        "spot_nodes": config.POOL_LOW_PRIORITY_NODE_COUNT if machines else None,
        "container": config.BLOB_CONTAINER_NAME,
        "subnet": config.SUBNET_ID,
        "image": _machine_image(image),
        "max_queue_time": seconds or None,
        "default_time_limit": seconds or None,
        "delete_pool_when_done": config.DELETE_POOL_WHEN_DONE or None,
        "delete_job_when_done": config.DELETE_JOB_WHEN_DONE or None,
        "delete_container_when_done": config.DELETE_CONTAINER_WHEN_DONE or None,
    }
    return {name: value for name, value in options.items() if value is not None}


def _machine_image(image: object) -> str | None:
    """Return ``publisher/offer/sku`` of any version's ImageReference; a text is taken as it is."""
    if image is None or isinstance(image, str):
        return image
    names = ("publisher", "offer", "sku")
    if isinstance(image, Mapping):
        parts = [image.get(name) for name in names]
    else:
        parts = [getattr(image, name, None) for name in names]
    if not all(parts):
        raise JobError.of(
            "BC2001",
            "image has no publisher, offer and sku",
            hint='write image="microsoft-dsvm/ubuntu-hpc/2404", or leave it out for the newest',
            key="image",
        )
    return "/".join(map(str, parts))


def new_run_id(job_id: str) -> str:
    """Return an id for a run of a job, which no other run has."""
    slug = re.sub(r"[^a-z0-9]+", "-", job_id.lower())[:40].strip("-") or "job"
    return f"{slug}-{secrets.token_hex(4)}"
