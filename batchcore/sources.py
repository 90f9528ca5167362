"""What a resource's source means: a file, a directory, a glob, a URL, or the content itself."""

from __future__ import annotations

import difflib
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import fsspec
from msgspec import Struct

from batchcore import paths
from batchcore.errors import JobError
from batchcore.model import Resource
from batchcore.shape import is_text

CHUNK = 1 << 20
# What tells one version of a remote file from the next, in the words of the fsspec packages.
_IDENTITY = (
    "size",
    "etag",
    "ETag",
    "Content-MD5",
    "Digest",
    "mtime",
    "mtime_ns",
    "created",
    "LastModified",
    "Last-Modified",
    "last_modified",
)


class PlannedFile(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One file that a task finds in its working directory.

    `path` is relative to that directory; `key` is its name in the store, the same for the same
    content. `digest` is the content's SHA-256, None for a URL, whose content is read only when it
    is staged. `source` is an absolute path or a URL, `content` the bytes given inline.
    """

    path: str
    key: str
    mode: str = "0644"
    size: int | None = None
    digest: str | None = None
    source: str | None = None
    content: bytes | None = None


class FileHashes:
    """SHA-256 of local files, each read once however many tasks use it."""

    def __init__(self) -> None:
        """Start with nothing read."""
        self._known: dict[Path, tuple[str, int]] = {}

    def of(self, path: Path) -> tuple[str, int]:
        """Return a file's digest and size in bytes; raises `OSError` where it cannot be read."""
        if path not in self._known:
            digest = hashlib.sha256()
            size = 0
            with path.open("rb") as stream:
                while chunk := stream.read(CHUNK):
                    digest.update(chunk)
                    size += len(chunk)
            self._known[path] = (digest.hexdigest(), size)
        return self._known[path]


def is_url(source: str) -> bool:
    """Return whether a source is an fsspec URL and not a path of this machine."""
    return "://" in source


def expand(resource: Resource, base: Path, hashes: FileHashes) -> list[PlannedFile]:
    """Return the files that a resource stands for, with content known by hash.

    Raises `JobError` (permanent) with key ``source`` where there is nothing to read.
    """
    inline = resource.content if resource.text is None else resource.text.encode()
    if inline is not None:
        digest = hashlib.sha256(inline).hexdigest()
        return [
            PlannedFile(
                path=resource.path,
                key=digest,
                mode=_mode(resource.mode, executable=False),
                size=len(inline),
                digest=digest,
                content=inline,
            )
        ]
    source = resource.source or ""
    if is_url(source) and not source.startswith("file://"):
        return [_from_url(resource, source)]
    place = os.path.expanduser(source.removeprefix("file://"))  # noqa: PTH111 - never raises
    try:
        return _from_local(resource, base / place, hashes)
    except OSError as exc:
        raise _unreadable(exc) from exc


def _from_local(resource: Resource, local: Path, hashes: FileHashes) -> list[PlannedFile]:
    text = str(resource.source)
    if local.is_dir():
        found = [(f"{resource.path}/{rel}", local / rel) for rel in _walk(local)]
    elif os.path.lexists(local):
        found = [(resource.path, local)]
    elif paths.has_wildcard(text):
        found = _from_glob(resource, local)
    else:
        raise JobError.of(
            "BC2205",
            f"there is no file {text!r}",
            hint=_nearby(local) or f"relative sources start at {local.parent}",
            key="source",
        )
    return [_local_file(resource, path, origin, hashes) for path, origin in found]


def _from_glob(resource: Resource, local: Path) -> list[tuple[str, Path]]:
    """Match below the directory before the first wildcard; no match is an error."""
    written = Path(str(resource.source).removeprefix("file://"))
    # Only what the user wrote is a pattern: a bracket in the job's own directory is a bracket.
    tail = written.relative_to(paths.fixed_part(written.as_posix()) or written.anchor)
    pattern = paths.check_pattern(tail.as_posix(), "source")
    root = local.parents[len(tail.parts) - 1]
    depth = None if "**" in tail.parts else len(tail.parts)
    found = [
        (f"{resource.path}/{rel}", root / rel)
        for rel in (_walk(root, depth) if root.is_dir() else ())
        if paths.matches(pattern, rel)
    ]
    if not found:
        raise JobError.of(
            "BC2205",
            f"{resource.source!r} matches no file",
            hint=f"look into {root}",
            key="source",
        )
    return found


def _walk(root: Path, depth: int | None = None) -> Iterator[str]:
    """Yield the regular files below a directory, relative, POSIX, in a fixed order.

    Links are followed, as these files are the user's own; `depth` 1 is the directory alone.
    """
    for folder, directories, names in os.walk(root, onerror=_give_up, followlinks=True):
        here = Path(folder)
        deepest = depth is not None and len(here.relative_to(root).parts) >= depth - 1
        directories[:] = [] if deepest else sorted(d for d in directories if not _loops(here / d))
        for name in sorted(names):
            path = here / name
            if path.is_file():
                yield path.relative_to(root).as_posix()


def _loops(directory: Path) -> bool:
    return directory.is_symlink() and directory.parent.resolve().is_relative_to(directory.resolve())


def _give_up(exc: OSError) -> None:
    """Stop a walk, which would else leave out what it cannot read."""
    raise exc


def _unreadable(exc: OSError) -> JobError:
    return JobError.of("BC2205", f"{exc.filename!r} cannot be read: {exc.strerror}", key="source")


def _local_file(resource: Resource, path: str, origin: Path, hashes: FileHashes) -> PlannedFile:
    path = paths.safe_path(path, "path")
    status = origin.stat()
    if not stat.S_ISREG(status.st_mode):
        raise JobError.of("BC2205", f"{str(origin)!r} is not a regular file", key="source")
    if not is_text(str(origin)):
        raise JobError.of("BC2205", f"{str(origin)!r} is not a UTF-8 name", key="source")
    digest, size = hashes.of(origin)
    return PlannedFile(
        path=path,
        key=digest,
        mode=_mode(resource.mode, executable=bool(status.st_mode & stat.S_IXUSR)),
        size=size,
        digest=digest,
        source=str(origin.absolute()),
    )


def _from_url(resource: Resource, url: str) -> PlannedFile:
    """Look the URL up without reading it; what identifies this version makes the key."""
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
        info: Mapping[str, object] = filesystem.info(path)
    except Exception as exc:  # any error class: each fsspec implementation has its own
        raise JobError.of(
            "BC2205",
            f"{url!r} cannot be read: {exc.__class__.__name__}: {exc}",
            hint="check the address, and that its fsspec package is installed",
            key="source",
        ) from exc
    if info.get("type") == "directory":
        raise JobError.of("BC2205", f"{url!r} is a directory", hint="name a file", key="source")
    identity = repr([url, *((k, str(info[k])) for k in _IDENTITY if info.get(k) is not None)])
    size = info.get("size")
    return PlannedFile(
        path=resource.path,
        key="url-" + hashlib.sha256(identity.encode()).hexdigest(),
        mode=_mode(resource.mode, executable=False),
        size=size if isinstance(size, int) else None,
        source=url,
    )


def _mode(mode: str | None, *, executable: bool) -> str:
    return mode.zfill(4) if mode else ("0755" if executable else "0644")


def _nearby(path: Path) -> str:
    try:
        names = [other.name for other in path.parent.iterdir()]
    except OSError:
        return f"there is no directory {str(path.parent)!r}"
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {str(path.with_name(close[0]))!r}?" if close else ""
