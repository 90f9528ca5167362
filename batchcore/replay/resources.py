"""Where the resources of an earlier run are taken from: their sources, else the run's store."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Self

from msgspec.structs import replace

from batchcore.backend import Backend, RunContext
from batchcore.errors import BatchcoreError, JobError, TransferError
from batchcore.life.manage import open_backend
from batchcore.model import Resource
from batchcore.plan import PlannedTask, sources
from batchcore.plan.sources import PlannedFile
from batchcore.plugins import Plugins
from batchcore.record import Record
from batchcore.replay.model import Origin, TakenFile
from batchcore.run import Run
from batchcore.transfer.files import FileRecord, whole_file
from batchcore.transfer.stage import local_path, resource_url
from batchcore.transfer.stores import Absent, Altered, get, look, opened


def take_resources(
    run: Run, task: PlannedTask, place: Path, plugins: Plugins
) -> tuple[PlannedTask, tuple[TakenFile, ...]]:
    """Return the task with resources that can be read here, and where each is from.

    The content is that of the run, told by its digest: a source that is still the same, else what
    lies in the run's store, of which a copy goes to `place` where it is on another machine. A URL
    is taken from the store first. Raises `TransferError` for content that is nowhere any more.
    """
    with _Store(run, place, plugins) as store:
        found = [_take(file, store, task.id) for file in task.files]
    taken = tuple(TakenFile(file.path, origin) for file, origin in found)
    return replace(task, files=tuple(file for file, _origin in found)), taken


def _take(file: PlannedFile, store: _Store, task_id: str) -> tuple[PlannedFile, Origin]:
    if file.content is not None:
        return file, "inline"
    if _is_unchanged(file):
        return file, "source"
    if stored := store.find(file):
        return replace(file, source=str(stored)), "store"
    if file.digest is None and _is_same_version(file):
        return file, "source"
    raise _lost(file, task_id, store.refusal)


def _is_unchanged(file: PlannedFile) -> bool:
    """Return whether a source on this machine still has the content that the run had."""
    return file.digest is not None and digest_of(Path(file.source or "")) == file.digest


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file of this machine, "" where it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError):
        return ""


def _is_same_version(file: PlannedFile) -> bool:
    """Return whether a URL still has the version that the plan has seen."""
    try:
        found = sources.expand(
            Resource(file.path, source=file.source), Path.cwd(), sources.FileHashes()
        )
    except JobError:
        return False
    return [one.key for one in found] == [file.key]


class _Store:
    """The store of a run, opened when something is first wanted of it.

    `refusal` is what kept it from being asked.
    """

    def __init__(self, run: Run, place: Path, plugins: Plugins) -> None:
        self._run = run
        self._place = place
        self._plugins = plugins
        self._stack = ExitStack()
        self.refusal: BatchcoreError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def find(self, file: PlannedFile) -> Path | None:
        """Return a file of this machine with the content that was staged, None where it is gone."""
        if self.refusal is not None:
            return None
        try:
            return self._find(file) if self._may_have(file) else None
        except BatchcoreError as exc:
            self.refusal = exc
            return None

    def _find(self, file: PlannedFile) -> Path | None:
        backend, store = self._opened
        staged = self._staged.get(file.key)
        digest = file.digest or (staged.sha256 if staged else "")
        url = resource_url(store, file.key)
        found = local_path(url) or self._fetched(url, file.key, backend)
        if found is None or (digest and digest_of(found) != digest):
            return None
        return found if found.exists() else None

    def _may_have(self, file: PlannedFile) -> bool:
        """Return whether asking can help: after a success only a service keeps its store."""
        return file.key in self._staged or self._plugins.spec(self._run.heading.backend).remote

    @cached_property
    def _staged(self) -> Mapping[str, FileRecord]:
        record = Record.read(self._run.directory, self._run.heading, whole=False)
        try:
            with record.errors():
                return record.staged()
        finally:
            record.close()

    @cached_property
    def _opened(self) -> tuple[Backend, str]:
        run = self._run
        backend = self._stack.enter_context(open_backend(run, self._plugins))
        return backend, backend.store(
            RunContext(run_id=run.id, plan=run.plan, directory=run.directory)
        )

    def _fetched(self, url: str, key: str, backend: Backend) -> Path | None:
        """Copy an object of the store to this machine, once; None where there is none."""
        target = self._place / key
        if target.exists():
            return target
        filesystem, path = opened(backend.filesystem, url)
        told = look(filesystem, path)
        if told is None:
            return None
        try:
            with whole_file(target, mode=0o444) as stream:
                get(filesystem, path, stream, told)
        except (Absent, Altered):
            return None
        return target


def _lost(file: PlannedFile, task_id: str, refusal: BatchcoreError | None) -> TransferError:
    why = f"and its store could not be asked: {refusal.reason}" if refusal else "nor in its store"
    content = f" (SHA-256 {file.digest[:12]}…)" if file.digest else ""
    return TransferError(
        f"the resource {file.path!r} of task {task_id!r}{content} is no longer at {file.source} "
        f"as the run had it, {why}",
        hint="put the file back as it was, or run the job again: that is a run of its own",
        where=file.source or file.path,
    )
