"""The output files of a task, uploaded at its end.

What "Persist task data to Azure Storage with the Batch service API" and the SDK's `OutputFile`
say: a pattern is relative to the working directory; one without a wildcard is one file, and
`path` its blob's name; with a wildcard `path` is a directory for the blobs. A pattern that
matches nothing is no error. Not said there, and decided here: the names below `path` are relative
to the part of the pattern before its first wildcard; an existing blob is replaced; a link that
leaves the directory, or anything that is not a plain file, is a `FileUploadMiscError`.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from batchcore import paths
from batchcore.transfer.files import UnsafeFile
from batchcore.transfer.trees import LocalTree
from batchcore_azure.emulator.blobs import BlobError, Blobs, Identities, bare, blob_url
from batchcore_azure.emulator.failures import SERVER, TaskFailure
from batchcore_azure.emulator.places import NODE_ROOT, TaskPlace

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_CODES = {
    401: "FileUploadAccessDenied",
    403: "FileUploadAccessDenied",
    404: "FileUploadContainerNotFound",
    409: "FileUploadConflict",
}
_DEFAULT_CONDITION = "taskcompletion"


class Uploader:
    """Uploads what one run of a task left."""

    def __init__(self, place: TaskPlace, blobs: Blobs, identities: Identities) -> None:
        """Keep where the files are and what they are sent with."""
        self._place = place
        self._blobs = blobs
        self._identities = identities

    def upload(
        self, files: Sequence[Mapping[str, Any]], environment: Mapping[str, str], *, success: bool
    ) -> Iterator[str]:
        """Upload every file that is due, one at each step; yields the name of its blob.

        Raises `TaskFailure` at the first that cannot be uploaded.
        """
        for file in files:
            if is_due(file, success=success):
                pattern = expand(str(file["filePattern"]), environment)
                destination = file["destination"]["container"]
                for tree, name, kept in self._matches(pattern):
                    blob = blob_name(pattern, str(destination.get("path") or ""), kept)
                    self._send(tree, name, destination, blob)
                    yield blob

    def upload_empty(self, files: Sequence[Mapping[str, Any]]) -> None:
        """Upload an empty file for each that a successful task has to leave by its name."""
        for file in files:
            pattern, destination = str(file["filePattern"]), file["destination"]["container"]
            if is_due(file, success=True) and not paths.has_wildcard(pattern):
                blob = str(destination.get("path") or pattern.rpartition("/")[2])
                self._put(io.BytesIO(), 0, pattern, destination, blob)

    def _matches(self, pattern: str) -> Iterator[tuple[LocalTree, str, str]]:
        """Yield a tree, a file's name in it, and the part of the name that its blob keeps."""
        root, pattern = self._rooted(pattern)
        tree = LocalTree(root)
        if not paths.has_wildcard(pattern):
            if tree.has(pattern) and not (root / pattern).is_dir():
                yield tree, pattern, pattern.rpartition("/")[2]
            return
        fixed = paths.fixed_part(pattern)
        for name in tree.names():
            if paths.matches(pattern, name):
                yield tree, name, name[len(fixed) :].lstrip("/")

    def _rooted(self, pattern: str) -> tuple[Path, str]:
        """Return the directory that a pattern starts from, and the pattern relative to it."""
        if pattern.startswith(f"{NODE_ROOT}/"):
            return self._place.node.root, pattern.removeprefix(f"{NODE_ROOT}/")
        directory = self._place.working_directory
        while pattern.startswith(("../", "./")):
            step, _, pattern = pattern.partition("/")
            directory = directory.parent if step == ".." else directory
        inside = directory.is_relative_to(self._place.node.root)
        if pattern.startswith("/") or ".." in pattern.split("/") or not inside:
            raise TaskFailure(
                "FileUploadMiscError", "The pattern leaves the node's root", FilePattern=pattern
            )
        return directory, pattern

    def _send(self, tree: LocalTree, name: str, to: Mapping[str, Any], blob: str) -> None:
        try:
            with tree.open(name) as source:
                self._put(source, os.fstat(source.fileno()).st_size, name, to, blob)
        except (UnsafeFile, OSError) as error:
            raise TaskFailure(
                "FileUploadMiscError",
                f"An output file could not be read: {error}",
                FilePath=name,
            ) from error

    def _put(
        self, source: BinaryIO, size: int, name: str, to: Mapping[str, Any], blob: str
    ) -> None:
        container = self._identities.sign(to["containerUrl"], to.get("identityReference"))
        headers = {header["name"]: header["value"] for header in to.get("uploadHeaders") or ()}
        try:
            self._blobs.upload(blob_url(container, blob), source, size, headers)
        except BlobError as error:
            raise _refused(error, name, bare(container)) from error


def is_due(file: Mapping[str, Any], *, success: bool) -> bool:
    """Return whether an output file is wanted after this end."""
    condition = str((file.get("uploadOptions") or {}).get("uploadCondition") or _DEFAULT_CONDITION)
    return condition.lower() in {_DEFAULT_CONDITION, "tasksuccess" if success else "taskfailure"}


def expand(pattern: str, environment: Mapping[str, str]) -> str:
    """Return a pattern with `$NAME` and `${NAME}` replaced, by nothing where there is no such."""
    return _VARIABLE.sub(lambda found: environment.get(found[1] or found[2], ""), pattern)


def blob_name(pattern: str, path: str, kept: str) -> str:
    """Return the blob's name for a file whose name below the pattern's fixed part is `kept`."""
    if not path:
        return kept
    return f"{path.rstrip('/')}/{kept}" if paths.has_wildcard(pattern) else path


def _refused(error: BlobError, name: str, container: str) -> TaskFailure:
    code = _CODES.get(error.status or 0)
    if code is None:
        code = "FileUploadTimedOut" if error.timed_out else "FileUploadMiscError"
    text = (
        "One of the specified Azure container(s) was not found while an output file was uploaded"
        if code == "FileUploadContainerNotFound"
        else f"An output file could not be uploaded: {error}"
    )
    category = {"category": SERVER} if error.status is None else {}
    return TaskFailure(code, text, **category, FilePath=name, ContainerUrl=container)
