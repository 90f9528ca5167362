"""What a resource's source means: a file, a directory, a glob, a URL, or the content itself."""

from __future__ import annotations

import difflib
import errno
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import fsspec
from msgspec import Struct

from batchcore import paths
from batchcore.errors import JobError
from batchcore.model import Resource
from batchcore.shape import is_text

CHUNK = 1 << 20
MAX_WAYS = 1_000
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


class PlannedFile(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
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
    inline = resource.content if resource.text is None else _encoded(resource.text)
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
        raise _unreadable(exc, source) from exc


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        reason = f"the text has half a character, {text[exc.start : exc.end]!r}"
        raise JobError.of("BC2205", reason, hint="give bytes as content", key="text") from exc


def _from_local(resource: Resource, local: Path, hashes: FileHashes) -> list[PlannedFile]:
    text = str(resource.source)
    slashes = text.replace("\\", "/")
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
            hint=f'write "{slashes}"'
            if slashes != text
            else _nearby(local) or f"relative sources start at {local.parent}",
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


class _Folder(Struct, frozen=True):
    """A directory on a walk: where it is, its path below the root, and the way to it.

    `chain` are the real directories that it lies in or was reached through.
    """

    path: Path
    below: str
    real: str
    chain: frozenset[str]
    level: int = 0


def _walk(root: Path, depth: int | None = None) -> Iterator[str]:
    """Yield the regular files below a directory, relative, POSIX, in a fixed order.

    Links are followed, as these files are the user's own, but never into a directory that the way
    there has passed; `depth` 1 is the directory alone. Raises `JobError` (permanent) where links
    lead to one directory in more than 1,000 ways, which directories that link to each other have
    without end, and `OSError` for a directory that cannot be read.
    """
    real = os.path.realpath(root)
    pending = [_Folder(root, "", real, _with_above(real))]
    visits: Counter[str] = Counter()
    while pending:
        folder = pending.pop()
        visits[folder.real] += 1
        if visits[folder.real] > MAX_WAYS:
            raise JobError.of(
                "BC2205",
                f"links below {str(root)!r} lead to {folder.real!r} in over {MAX_WAYS:,} ways",
                hint="remove the links that lead round, or name the files by a pattern",
                key="source",
            )
        with os.scandir(folder.path) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        yield from (folder.below + e.name for e in entries if _is(e, os.DirEntry.is_file))
        if depth is None or folder.level < depth - 1:
            inner = [_inside(folder, e) for e in entries if _is(e, os.DirEntry.is_dir)]
            pending += [one for one in reversed(inner) if one.real not in folder.chain]


def _inside(folder: _Folder, entry: os.DirEntry[str]) -> _Folder:
    path, below = folder.path / entry.name, f"{folder.below}{entry.name}/"
    if entry.is_symlink():
        real = os.path.realpath(path)
        chain = folder.chain | _with_above(real)
    else:
        real = os.path.join(folder.real, entry.name)  # noqa: PTH118 - a text, a set's member
        chain = folder.chain | {real}
    return _Folder(path, below, real, chain, folder.level + 1)


def _with_above(real: str) -> frozenset[str]:
    return frozenset({real, *map(str, Path(real).parents)})


def _is(entry: os.DirEntry[str], kind: Callable[[os.DirEntry[str]], bool]) -> bool:
    try:
        return kind(entry)
    except OSError as exc:
        if exc.errno == errno.ELOOP:  # a link to itself is neither a file nor a directory
            return False
        raise


def _unreadable(exc: OSError, source: str) -> JobError:
    name = exc.filename or source
    return JobError.of("BC2205", f"{name!r} cannot be read: {exc.strerror}", key="source")


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
