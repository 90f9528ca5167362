"""Filling the store, each content once, and a working directory from the store."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, cast

import fsspec

from batchcore.errors import BatchcoreError, TransferError
from batchcore.plan.sources import PlannedFile
from batchcore.transfer import files
from batchcore.transfer.files import FileRecord
from batchcore.transfer.stores import AT_ONCE, Opener, open_url


def resource_url(store: str, key: str) -> str:
    """Return where a resource with this key lies in a store."""
    return f"{store.rstrip('/')}/resources/{key}"


def record_url(store: str) -> str:
    """Return where the copy of a run's ``job.json`` lies in its store."""
    return f"{store.rstrip('/')}/job.json"


def local_path(url: str) -> Path | None:
    """Return the path behind a ``file:`` URL, None for any other."""
    return Path(url.removeprefix("file://")) if url.startswith("file://") else None


def stage(
    planned: Iterable[PlannedFile],
    store: str,
    staged: Mapping[str, FileRecord],
    record: Callable[[str, FileRecord], None],
    opener: Opener = open_url,
) -> int:
    """Put every distinct content into the store and return how many were sent.

    What `staged` names already is left alone; `record` is called, in this thread, after each
    content has arrived whole and verified. `opener` opens a store that is not on this machine.
    Raises `TransferError`: the source changed since it was planned (permanent), or the store or
    the source could not be reached (transient).
    """
    wanted = {file.key: file for file in planned if file.key not in staged}
    if local_path(store) is not None or len(wanted) < 2:  # noqa: PLR2004 - one needs no threads
        for key, file in wanted.items():
            record(key, _send(file, resource_url(store, key), opener))
        return len(wanted)
    with ThreadPoolExecutor(AT_ONCE, "stage") as pool:
        sending = {
            pool.submit(_send, file, resource_url(store, key), opener): key
            for key, file in wanted.items()
        }
        try:
            _record_all(sending, record)
        finally:
            pool.shutdown(cancel_futures=True)
    return len(wanted)


def _record_all(
    sending: Mapping[Future[FileRecord], str], record: Callable[[str, FileRecord], None]
) -> None:
    """Record all that arrives; after a failure nothing more is begun, and it is raised last."""
    failure: BaseException | None = None
    for sent in as_completed(sending):
        if sent.cancelled():
            continue
        error = sent.exception()
        if error is None:
            record(sending[sent], sent.result())
        elif failure is None:
            failure = error
            for other in sending:
                other.cancel()
    if failure is not None:
        raise failure


def keep_copy(path: Path, store: str, opener: Opener = open_url) -> None:
    """Put a copy of a run's ``job.json`` into its store; raises what `stage` raises."""
    size = path.stat().st_size
    file = PlannedFile(path=path.name, key="", size=size, source=str(path.absolute()))
    _send(file, record_url(store), opener)


def still_staged(store: str, staged: Mapping[str, FileRecord]) -> Mapping[str, FileRecord]:
    """Return what is in the store of what a record says.

    A local file may have been deleted, and what was in memory is gone with its process.
    """
    root = local_path(store)
    if root is not None:
        there = {key for key in staged if Path(resource_url(str(root), key)).exists()}
    elif store.startswith("memory:"):
        memory = fsspec.filesystem("memory")
        there = {key for key in staged if memory.exists(resource_url(store, key))}
    else:
        return staged
    return {key: file for key, file in staged.items() if key in there}


def _send(file: PlannedFile, url: str, opener: Opener) -> FileRecord:
    try:
        with _open_source(file) as source, _writer(url, file.size, opener) as target:
            done = files.copy(source, target, file.source or file.path, file.size)
            _verify(file, done)
    except BatchcoreError:
        raise
    except Exception as exc:  # any error class: each fsspec implementation has its own
        raise TransferError(
            f"{file.source or file.path} could not be staged: {exc.__class__.__name__}: {exc}",
            hint="run the same command again; nothing is lost",
            where=url,
            transient=not isinstance(exc, FileNotFoundError),
        ) from exc
    return done


def _verify(file: PlannedFile, done: FileRecord) -> None:
    if file.digest is not None and done.sha256 != file.digest:
        raise TransferError(
            f"{file.source or file.path} changed while the run was being started",
            hint="run the same command again, when the file is complete",
            where=file.source or file.path,
        )
    if file.size not in {None, done.size}:
        raise TransferError(
            f"{file.source} arrived with {done.size} of {file.size} bytes",
            hint="run the same command again; nothing is lost",
            where=file.source or file.path,
            transient=True,
        )


def _open_source(file: PlannedFile) -> BinaryIO:
    if file.content is not None:
        return io.BytesIO(file.content)
    source = file.source or ""
    if source.startswith("/"):
        return Path(source).open("rb")
    return cast("BinaryIO", fsspec.open(source, "rb").open())


def _writer(url: str, size: int | None, opener: Opener) -> AbstractContextManager[BinaryIO]:
    local = local_path(url)
    if local is not None:
        return files.whole_file(local, mode=0o444)
    is_small = size is not None and size <= files.CHUNK
    return (files.small_remote_file if is_small else files.remote_file)(*opener(url))


def materialise(planned: Iterable[PlannedFile], store: Path, directory: Path) -> None:
    """Copy a task's resources from a store on this machine into its working directory.

    Raises `TransferError`: a resource is not in the store (transient, staging mends it), or the
    directory cannot be written.
    """
    made: set[Path] = set()
    for file in planned:
        target = directory / file.path
        origin = resource_url(str(store), file.key)
        try:
            if target.parent not in made:
                target.parent.mkdir(parents=True, exist_ok=True)
                made.add(target.parent)
            shutil.copyfile(origin, target)
            target.chmod(int(file.mode, 8))
        except FileNotFoundError as exc:
            raise TransferError(
                f"resource {file.path!r} is not in the run's store",
                hint="run the same command again: it is staged anew",
                where=origin,
                transient=True,
            ) from exc
        except OSError as exc:
            raise files.write_error(target, exc) from exc
