"""The end of one attempt: keep its logs, collect its outputs, and say what the end means."""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from itertools import chain, islice, repeat, starmap
from pathlib import Path
from typing import Any, Self

from msgspec import Struct

from batchcore import paths
from batchcore.backend import Backend, RunContext, TaskSubmission, TaskUpdate
from batchcore.driver.schedule import Ending
from batchcore.plan import PlannedTask
from batchcore.record import Record
from batchcore.states import FailureReason, TaskState
from batchcore.transfer.collect import (
    Collected,
    Each,
    Fetched,
    Refused,
    discard,
    fetch,
    open_tree,
    publish,
    withdraw,
)
from batchcore.transfer.logs import keep_log
from batchcore.transfer.stage import local_path
from batchcore.transfer.stores import AT_ONCE


class Finished(Struct, frozen=True):
    """An attempt whose files are fetched; exactly one of `publish` and `discard` follows."""

    task_id: str
    ending: Ending
    fetched: Fetched
    record: Record

    def publish(self) -> tuple[Collected, ...]:
        """Put the files in their places, take away those of earlier attempts, return the new."""
        outputs = self.record.outputs_directory
        new = {paths.folded(file.to) for file in self.fetched.files}
        old = [to for to in self.record.outputs_of(self.task_id) if paths.folded(to) not in new]
        withdraw(old, outputs)
        publish(self.fetched, outputs)
        return self.fetched.files

    def discard(self) -> None:
        """Drop the files, because another attempt follows."""
        discard(self.fetched)


class Gathered(Struct, frozen=True):
    """What an ended attempt left, brought here; `lost` says of logs why they are not."""

    fetched: Fetched
    lost: tuple[str, ...] = ()


Gather = Callable[[], Gathered]


class Gatherer:
    """Brings here what ended attempts left: several at once from a store, one by one from here.

    A context manager: when it is left, no thread of it runs any more and nothing that was
    not published lies about. `leave` is called before each file that comes from a store, in
    several threads; what it raises ends the gathering.
    """

    def __init__(
        self, record: Record, backend: Backend, run: RunContext, leave: Callable[[], None]
    ) -> None:
        """Take what a driver has; nothing is started yet."""
        self._record = record
        self._backend = backend
        self._run = run
        self._leave = leave
        self._incoming = record.directory / "incoming"
        self._is_local = local_path(run.store) is not None

    def __enter__(self) -> Self:
        """Make the threads ready; none is started before it is needed."""
        self._attempts = ThreadPoolExecutor(AT_ONCE, "attempt")
        self._files = ThreadPoolExecutor(AT_ONCE, "file")
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the files on their way, and leave the others."""
        self._attempts.shutdown(cancel_futures=True)
        self._files.shutdown(cancel_futures=True)
        if not self._is_local:
            shutil.rmtree(self._incoming, ignore_errors=True)

    def each(
        self, ends: Iterable[tuple[PlannedTask, TaskUpdate]]
    ) -> Iterator[tuple[TaskUpdate, Gather]]:
        """Yield every end with what gathers its files, in this order, a few ends ahead.

        The files of an end are published or discarded before the next one is taken. Gathering
        raises `TransferError` (transient) where they cannot be reached; it may be repeated.
        """
        if self._is_local:
            for task, update in ends:
                yield update, partial(self._gather, task, update, self._incoming, map)
            return
        numbered = enumerate(ends)
        started = deque(starmap(self._start, islice(numbered, AT_ONCE)))
        while started:
            yield started.popleft()
            started.extend(starmap(self._start, islice(numbered, 1)))

    def _start(self, number: int, end: tuple[PlannedTask, TaskUpdate]) -> tuple[TaskUpdate, Gather]:
        """Begin to gather; what is returned waits for that, and gathers anew when asked again."""
        incoming = self._incoming / str(number % AT_ONCE)
        gather = partial(self._gather, *end, incoming, self._several)
        first = self._attempts.submit(gather)
        tries: Iterator[Gather] = chain([first.result], repeat(gather))

        def once() -> Gathered:
            return next(tries)()

        return end[1], once

    def _gather(
        self, task: PlannedTask, update: TaskUpdate, incoming: Path, each: Each
    ) -> Gathered:
        ran = update.exit_code is not None or update.reason is FailureReason.TIMEOUT
        if not ran:
            return Gathered(Fetched(incoming))
        files = self._backend.outputs(self._run, TaskSubmission(task, update.attempt))
        opener = self._backend.filesystem
        lost = []
        for stream, url in (("stdout", files.stdout), ("stderr", files.stderr)):
            why = keep_log(url, self._record.log_path(task.id, update.attempt, stream), opener)
            if why:
                text = f"{task.id}: the log {stream} of attempt {update.attempt} is lost: {why}"
                lost.append(text)
        fetched = Fetched(incoming)
        if update.state is not TaskState.CANCELED and task.outputs:
            tree = open_tree(files.tree, opener)
            fetched = fetch(task.outputs, update.state, tree, incoming, each)
        return Gathered(fetched, tuple(lost))

    def _several(self, copy: Callable[[Any], Any], wanted: Sequence[Any]) -> list[Any]:
        """Copy several files at once; when this returns or raises, none is on its way."""
        copying = [self._files.submit(self._copy, copy, one) for one in wanted]
        try:
            return [done.result() for done in copying]
        finally:
            for one in copying:
                one.cancel()
            wait(copying)

    def _copy(self, copy: Callable[[Any], Any], wanted: object) -> object:
        self._leave()
        return copy(wanted)


def finish(
    record: Record, run: RunContext, task: PlannedTask, update: TaskUpdate, gathered: Gathered
) -> Finished:
    """Judge the end of an attempt by what it left.

    ``succeeded`` is believed only with exit code 0 and every required output fetched.
    """
    for line in gathered.lost:
        run.notify(line)
    fetched = _without_foreign(gathered.fetched, task, record)
    return Finished(task.id, _judge(update, fetched.refused, task, record), fetched, record)


def _without_foreign(fetched: Fetched, task: PlannedTask, record: Record) -> Fetched:
    """Refuse all files where one would replace another task's."""
    for file in fetched.files:
        owner = record.owner(file.to)
        if owner not in {None, task.id}:
            detail = f"{file.to!r} is in the way of what was collected from task {owner!r}"
            discard(fetched)
            refused = Refused(FailureReason.OUTPUT_UNSAFE, detail)
            return Fetched(fetched.incoming, (), refused)
    return fetched


def _judge(
    update: TaskUpdate, refused: Refused | None, task: PlannedTask, record: Record
) -> Ending:
    state, reason, detail = update.state, update.reason, update.detail
    if state is TaskState.SUCCEEDED and update.exit_code != 0:
        state, reason = TaskState.FAILED, FailureReason.BACKEND
        detail = "the backend reported success without exit code 0"
    elif state is TaskState.SUCCEEDED and refused is not None:
        state, reason, detail = TaskState.FAILED, refused.reason, refused.detail
    elif state is TaskState.FAILED:
        reason = reason or FailureReason.BACKEND
        detail = detail or last_line(record.log_path(task.id, update.attempt, "stderr"))
    return Ending(
        state=state,
        reason=reason,
        exit_code=update.exit_code,
        detail=detail,
        retryable=update.retryable,
    )


def last_line(log: Path, limit: int = 200) -> str:
    """Return the last line of a log that is not blank, shortened, control characters shown."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(os.fstat(stream.fileno()).st_size - 4096, 0))
            lines = stream.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    line = next((text.strip() for text in reversed(lines) if text.strip()), "")
    return "".join(c if c.isprintable() else "�" for c in line)[:limit]
