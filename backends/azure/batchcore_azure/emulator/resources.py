"""The resource files of a task, put into its working directory before it starts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from batchcore_azure.emulator.blobs import BlobError, Blobs, Identities, bare, blob_url
from batchcore_azure.emulator.failures import SERVER, TaskFailure

DEFAULT_MODE = "0770"
_FORBIDDEN, _NOT_FOUND = (401, 403), 404
_MODE = re.compile(r"0?[0-7]{3}")


def fetch(
    files: Sequence[Mapping[str, Any]], directory: Path, blobs: Blobs, identities: Identities
) -> None:
    """Place every resource file below `directory`; raises `TaskFailure` at the first that fails.

    A blob of a container lands under its full name, below `filePath` where that is given
    ("Creating and using resource files").
    """
    for file in files:
        for path, url in _sources(file, blobs, identities):
            _place(path, url, file.get("fileMode") or DEFAULT_MODE, directory, blobs)


def _sources(
    file: Mapping[str, Any], blobs: Blobs, identities: Identities
) -> Iterator[tuple[str, str]]:
    """Yield each file's path in the working directory and its URL."""
    reference = file.get("identityReference")
    if "httpUrl" in file:
        yield str(file["filePath"]), identities.sign(file["httpUrl"], reference)
        return
    if "storageContainerUrl" not in file:
        raise TaskFailure(
            "ResourceContainerNotFound",
            "The account has no auto-storage; name a storageContainerUrl or an httpUrl",
        )
    container = identities.sign(file["storageContainerUrl"], reference)
    folder = str(file.get("filePath") or "").strip("/")
    try:
        for name in blobs.names(container, str(file.get("blobPrefix") or "")):
            yield f"{folder}/{name}" if folder else name, blob_url(container, name)
    except BlobError as error:
        code = {**dict.fromkeys(_FORBIDDEN, "AccessDenied"), _NOT_FOUND: "NotFound"}.get(
            error.status or 0, "ListTimedOut" if error.timed_out else "ListMiscError"
        )
        raise _failure(
            f"ResourceContainer{code}", error, StorageContainerUrl=bare(container)
        ) from (error)


def _place(path: str, url: str, mode: str, directory: Path, blobs: Blobs) -> None:
    parts = path.split("/")
    if path.startswith("/") or not all(part not in {"", ".", ".."} for part in parts):
        raise TaskFailure(
            "ResourceFileCreateFailed",
            "A resource file's path must lie in the task's working directory",
            FilePath=path,
        )
    if not _MODE.fullmatch(mode):
        raise TaskFailure("ResourceFileCreateFailed", "Its fileMode is not octal", FilePath=path)
    target = directory.joinpath(*parts)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _local("ResourceDirectoryCreateFailed", path, error) from error
    try:
        with target.open("wb") as stream:
            blobs.download(url, stream)
        os.chmod(target, int(mode, 8))  # noqa: PTH101 - as the task asked
    except BlobError as error:
        code = {**dict.fromkeys(_FORBIDDEN, "BlobAccessDenied"), _NOT_FOUND: "BlobNotFound"}.get(
            error.status or 0,
            "BlobDownloadTimedOut" if error.timed_out else "BlobDownloadMiscError",
        )
        raise _failure(code, error, FilePath=path, HttpUrl=bare(url)) from error
    except OSError as error:
        raise _local("ResourceFileWriteFailed", path, error) from error


def _failure(code: str, error: BlobError, **details: str) -> TaskFailure:
    category = {"category": SERVER} if error.status is None else {}
    return TaskFailure(
        code, f"The files of the task could not be downloaded: {error}", **category, **details
    )


def _local(code: str, path: str, error: OSError) -> TaskFailure:
    reason = error.strerror or type(error).__name__
    return TaskFailure(code, f"A resource file could not be made: {reason}", FilePath=path)
