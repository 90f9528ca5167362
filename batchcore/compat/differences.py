"""What a client's settings mean otherwise than they did in super_batch."""

from __future__ import annotations

from collections.abc import Iterator

from batchcore.compat.config import Config

PAGE = "docs/super_batch.md"
_POOL = ("POOL_ID", "POOL_VM_SIZE", "POOL_NODE_COUNT", "POOL_LOW_PRIORITY_NODE_COUNT", "SUBNET_ID")
_DELETE = ("DELETE_POOL_WHEN_DONE", "DELETE_JOB_WHEN_DONE", "DELETE_CONTAINER_WHEN_DONE")
_STORAGE = ("BLOB_CONTAINER_NAME",)


class SuperBatchWarning(UserWarning):
    """Something runs otherwise than super_batch ran it."""


def warning_text(config: Config, image: object, backend: str) -> str:
    """Return all that differs for this client, in one text; empty where nothing does."""
    found = [*_differences(config, image, backend)]
    if not found:
        return ""
    return f"not as in super_batch (see {PAGE}): " + "; ".join(found)


def _differences(config: Config, image: object, backend: str) -> Iterator[str]:
    if backend == "azure":
        yield from _on_azure(config)
        return
    unused = [name for name in (*_POOL, *_STORAGE, *_DELETE) if getattr(config, name)]
    if image is not None:
        unused.append("image")
    if unused:
        yield f"{backend} does not use {', '.join(unused)}"


def _on_azure(config: Config) -> Iterator[str]:
    if config.POOL_NODE_COUNT + config.POOL_LOW_PRIORITY_NODE_COUNT:
        yield "a pool that is made here has at most the machines asked for, and none without work"
    if config.POOL_LOW_PRIORITY_NODE_COUNT:
        yield "low-priority machines are spot machines now"
    if config.BLOB_CONTAINER_NAME:
        yield "BLOB_CONTAINER_NAME holds the resources, and outputs are in a container of the job"
    deleted = [name for name in _DELETE if getattr(config, name)]
    if deleted:
        yield (
            f"{', '.join(deleted)}: deleted is what the job has made, once all its tasks have "
            "succeeded and their results are here"
        )
