"""Reading the log of one attempt: the kept one, or while it runs the backend's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Self

from batchcore.backend import Backend, RunContext, Stream, TaskSubmission
from batchcore.errors import NotFound
from batchcore.life.manage import open_backend
from batchcore.results import TaskResult
from batchcore.run import Run
from batchcore.states import TaskState


class LogSource:
    """The logs of a run; the backend is opened only where a task still runs."""

    def __init__(self, run: Run) -> None:
        """Open nothing yet."""
        self.run = run
        self._stack = ExitStack()
        self._backend: Backend | None = None
        self._context = RunContext(run_id=run.id, plan=run.plan, directory=run.directory)
        self._tasks = {task.id: task for task in run.plan.tasks}

    def __enter__(self) -> Self:
        """Use it for one command."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the backend where it was opened."""
        self._stack.close()

    def chunks(self, task_id: str, attempt: int, stream: Stream, offset: int) -> Iterator[bytes]:
        """Yield what there is now from `offset` on; all of it where the attempt has ended."""
        if not self._ended(task_id, attempt):
            for data in self._live(task_id, attempt, stream, offset):
                offset += len(data)
                yield data
        # Asked again: the attempt may have ended while its live log was read.
        if self._ended(task_id, attempt):
            yield from self.run.log_chunks(task_id, stream, attempt, offset)

    def _ended(self, task_id: str, attempt: int) -> bool:
        return any(ended["attempt"] == attempt for ended in self.run.attempts(task_id))

    def _live(self, task_id: str, attempt: int, stream: Stream, offset: int) -> Iterator[bytes]:
        if not attempt:
            return
        if self._backend is None:
            self._backend = self._stack.enter_context(open_backend(self.run))
        submission = TaskSubmission(self._tasks[task_id], attempt)
        while data := self._backend.read_log(self._context, submission, stream, offset).data:
            yield data
            offset += len(data)


class TaskLog:
    """One stream of one attempt; each `read` goes on where the last one stopped."""

    def __init__(self, source: LogSource, task_id: str, attempt: int, stream: Stream) -> None:
        """Begin at the first byte."""
        self._source = source
        self._place = (task_id, attempt, stream)
        self.title = f"{task_id} {stream}" + (f" (attempt {attempt})" if attempt > 1 else "")
        self.offset = 0

    def read(self) -> Iterator[bytes]:
        """Yield what there is and was not yielded yet."""
        for data in self.peek():
            self.offset += len(data)
            yield data

    def peek(self) -> Iterator[bytes]:
        """Yield the same without remembering it."""
        yield from self._source.chunks(*self._place, self.offset)


def choose_attempt(run: Run, task: TaskResult, wanted: int | None) -> int:
    """Return the attempt whose log is meant: the wanted one, else the last that was started."""
    if wanted is None:
        waits = task.state in {TaskState.PENDING, TaskState.QUEUED}
        return task.attempt - 1 if waits and task.attempt > 1 else task.attempt
    if wanted > task.attempt:
        raise NotFound(
            f"task {task.id!r} of run {run.id} has no attempt {wanted}",
            hint=f"it has {task.attempt}",
            code="BC5001",
        )
    return wanted
