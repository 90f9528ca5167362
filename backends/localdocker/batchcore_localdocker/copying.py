"""Files into a container before its start and out of it after its end, for a bind that cannot be.

By the archive API (Docker Engine API v1.41, "Extract an archive of files or folders to a
directory in a container", "Get an archive of a filesystem resource in a container"). Raises the
SDK's exceptions, as `docker_errors` expects them, besides those that are named.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import IO, NoReturn, cast

import docker.errors as sdk  # noqa: TID253 - only loaded once the backend is used
import requests
from docker import APIClient  # noqa: TID253 - only loaded once the backend is used

from batchcore.errors import TransferError
from batchcore.transfer.files import CHUNK, write_error
from batchcore.transfer.remove import remove_tree
from batchcore_localdocker.connection import CALL_SECONDS
from batchcore_localdocker.errors import explanation, status_of
from batchcore_localdocker.unpacking import broken_off, unpack

_NOT_FOUND = 404
# The words of Docker 20.10 where a parent of the path became a file or an endless link.
_IN_THE_WAY = ("not a directory", "too many links")


def send(
    client: APIClient, container: str, source: Path, target: PurePosixPath, *, uid: int, gid: int
) -> None:
    """Copy the directory `source` to the absolute path `target` of a container not yet started.

    It and all below it belong to `uid:gid` and keep their permissions and times; parents of
    `target` that the container lacks are made, root's, 0755. The content is streamed. Repeating
    it is safe. Raises `TransferError` where `source` cannot be read.
    """
    there = _deepest(client, container, target)
    _put(client, container, there, _pack_tree(source, target, there, uid, gid))


def place(
    client: APIClient,
    container: str,
    target: PurePosixPath,
    files: Mapping[str, bytes],
    *,
    uid: int,
    gid: int,
    mode: int = 0o400,
) -> None:
    """Write small files into the directory `target` of a container not yet started.

    Each is `uid:gid`'s with `mode`; `target` and its parents are made where they are lacking,
    root's, 0755. Nothing is written to this machine's disk; the daemon keeps the files with the
    container until that is removed.
    """
    there = _deepest(client, container, target / "any")
    _put(client, container, there, _pack_files(files, target, there, uid=uid, gid=gid, mode=mode))


def receive(client: APIClient, container: str, source: PurePosixPath, target: Path) -> None:
    """Replace the host's directory `target` by the directory `source` of an ended container.

    The content is hostile, and made harmless as `unpack` says, which also names the errors. A
    directory that the worker has removed or replaced leaves `target` empty. The daemon leaves
    out sockets, and paths that are too long for itself. Repeating it is safe.
    """
    answer = _get(client, container, source)
    if answer is None:
        _empty(target)
        return
    with closing(answer):
        _empty(target)
        unpack(cast("IO[bytes]", answer.raw), target)


def _empty(target: Path) -> None:
    remove_tree(target)
    try:
        target.mkdir(mode=0o700, parents=True)
    except OSError as exc:
        raise write_error(target, exc) from exc


def read_file(client: APIClient, container: str, path: PurePosixPath) -> bytes | None:
    """Return the content of a small file, None where there is no plain file at `path`."""
    answer = _get(client, container, path)
    if answer is None:
        return None
    with (
        closing(answer),
        broken_off(str(path)),
        tarfile.open(fileobj=answer.raw, mode="r|") as archive,
    ):
        entry = archive.next()
        content = archive.extractfile(entry) if entry is not None and entry.isreg() else None
        return None if content is None else content.read(CHUNK)


def _put(client: APIClient, container: str, at: PurePosixPath, data: Iterator[bytes]) -> None:
    client.put_archive(container, str(at), data)


def _get(client: APIClient, container: str, path: PurePosixPath) -> requests.Response | None:
    """Ask for an archive; None where the container has nothing at `path`.

    Not by the SDK's own call, which waits without end for a daemon that falls silent (docker
    7.2, api/client.py, _stream_raw_result). Raises `NotFound` where there is no container.
    """
    answer = client.get(
        _address(client, container),
        params={"path": str(path)},
        headers={"Accept-Encoding": "identity"},
        stream=True,
        timeout=CALL_SECONDS,
    )
    try:
        _check(answer)
    except sdk.APIError as exc:
        answer.close()
        if status_of(exc) == _NOT_FOUND:
            client.inspect_container(container)
        elif not any(words in explanation(exc) for words in _IN_THE_WAY):
            raise
        return None
    return answer


def _deepest(client: APIClient, container: str, path: PurePosixPath) -> PurePosixPath:
    """Return the deepest of the directories above `path` that the container has."""
    there = PurePosixPath("/")
    for parent in [*path.parents][-2::-1]:
        answer = client.head(
            _address(client, container), params={"path": str(parent)}, timeout=CALL_SECONDS
        )
        if answer.status_code == _NOT_FOUND:
            return there
        _check(answer)
        there = parent
    return there


def _address(client: APIClient, container: str) -> str:
    return f"{client.base_url}/v{client.api_version}/containers/{container}/archive"


def _check(answer: requests.Response) -> None:
    """Raise the SDK's exception for an answer with an error status."""
    try:
        answer.raise_for_status()
    except requests.HTTPError as exc:
        sdk.create_api_error_from_http_exception(exc)


def _pack_tree(
    source: Path, target: PurePosixPath, there: PurePosixPath, uid: int, gid: int
) -> Iterator[bytes]:
    yield from _pack_parents(target, there)
    top = target.relative_to(there)
    try:
        for path in _walk(source):
            yield from _pack_path(path, top / path.relative_to(source), uid, gid)
    except OSError as exc:
        _unreadable(source, exc.strerror or str(exc), exc)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _pack_files(
    files: Mapping[str, bytes],
    target: PurePosixPath,
    there: PurePosixPath,
    *,
    uid: int,
    gid: int,
    mode: int,
) -> Iterator[bytes]:
    yield from _pack_parents(target / "any", there)
    for name, content in files.items():
        entry = _entry(str((target / name).relative_to(there)), mode, uid, gid)
        entry.size = len(content)
        yield _header(entry)
        if content:
            yield content + _padding(entry.size)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _pack_parents(path: PurePosixPath, there: PurePosixPath) -> Iterator[bytes]:
    """Name what lies between both; the daemon would make it for root alone, or unreadable."""
    for parent in [*path.relative_to(there).parents][-2::-1]:
        entry = _entry(str(parent), 0o755, 0, 0)
        entry.type = tarfile.DIRTYPE
        yield _header(entry)


def _walk(source: Path) -> Iterator[Path]:
    def fail(exc: OSError) -> NoReturn:
        raise exc

    yield source
    for folder, folders, names in os.walk(source, onerror=fail):
        for name in (*folders, *names):
            yield Path(folder, name)


def _pack_path(path: Path, name: PurePosixPath, uid: int, gid: int) -> Iterator[bytes]:
    found = path.lstat()
    entry = _entry(str(name), stat.S_IMODE(found.st_mode), uid, gid)
    entry.mtime = int(found.st_mtime)
    if stat.S_ISDIR(found.st_mode):
        entry.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(found.st_mode):
        entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(path)  # noqa: PTH115 - as it is written
    elif stat.S_ISREG(found.st_mode):
        entry.size = found.st_size
    else:
        _unreadable(path, "it is neither a file nor a directory")
    yield _header(entry)
    if entry.isreg():
        yield from _content(path, entry.size)


def _content(path: Path, size: int) -> Iterator[bytes]:
    left = size
    with path.open("rb") as stream:
        while left and (chunk := stream.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk
    if left:
        _unreadable(path, "it became shorter while it was read")
    if padding := _padding(size):
        yield padding


def _entry(name: str, mode: int, uid: int, gid: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.uid, entry.gid = mode, uid, gid
    return entry


def _header(entry: tarfile.TarInfo) -> bytes:
    return entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _unreadable(path: Path, why: str, cause: Exception | None = None) -> NoReturn:
    raise TransferError(
        f"{path} cannot be copied into the container: {why}", where=str(path)
    ) from cause
