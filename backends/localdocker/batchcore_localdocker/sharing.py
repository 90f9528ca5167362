"""Whether the daemon sees this machine's directories: another machine's, or a VM's, does not."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

import docker.errors as sdk  # noqa: TID253 - only loaded once the backend is used
from docker import APIClient  # noqa: TID253 - only loaded once the backend is used

from batchcore.transfer.files import TEMPORARY, write_whole
from batchcore_localdocker.copying import read_file
from batchcore_localdocker.errors import explanation

_INSIDE = PurePosixPath("/batchcore-probe")
# Docker 20.10 says the first, Docker Desktop the second of a directory that it does not share.
_NOT_SEEN = ("bind source path does not exist", "mounts denied")


def daemon_sees(
    client: APIClient, image_id: str, directory: Path, labels: Mapping[str, str]
) -> bool:
    """Return whether a bind mount of `directory` shows what this machine has there.

    A file of chance content is written there and read back through a container that is made
    of the image, carries `labels`, never starts, and is removed. `directory` must exist, and no
    worker may write to it. Raises the SDK's exceptions, and what `write_error` makes of a failed
    write.
    """
    token = secrets.token_hex(16)
    file = directory / f"{TEMPORARY}{token[:8]}"
    write_whole(file, token.encode())
    try:
        return _read(client, image_id, file, labels) == token.encode()
    finally:
        with suppress(OSError):
            file.unlink()


def _read(client: APIClient, image_id: str, file: Path, labels: Mapping[str, str]) -> bytes | None:
    """Return the content of a file as the daemon sees it, None where it sees none."""
    config = {
        "Image": image_id,
        "Cmd": ["never", "started"],
        "NetworkDisabled": True,
        "Labels": {**labels, "batchcore.role": "look for a directory"},
        "HostConfig": {
            "Mounts": [
                {
                    "Type": "bind",
                    "Source": str(file.parent),
                    "Target": str(_INSIDE),
                    "ReadOnly": True,
                }
            ]
        },
    }
    try:
        made = client.create_container_from_config(config)  # type: ignore[no-untyped-call]
    except sdk.APIError as exc:
        if any(words in explanation(exc).lower() for words in _NOT_SEEN):
            return None
        raise
    try:
        return read_file(client, made["Id"], _INSIDE / file.name)
    finally:
        client.remove_container(made["Id"], v=True, force=True)
