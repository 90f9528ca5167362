"""`slurm` put together: the contract of a backend on array jobs and a shared directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from batchcore.backend import (
    Backend,
    Check,
    LogChunk,
    RunContext,
    Snapshot,
    Stream,
    TaskFiles,
    TaskSubmission,
)
from batchcore.plan import Plan
from batchcore.transfer import log_chunk, write_error
from batchcore_slurm import arrays, stop
from batchcore_slurm.arrays import Book
from batchcore_slurm.check import check_plan
from batchcore_slurm.commands import Slurm
from batchcore_slurm.settings import SlurmSettings
from batchcore_slurm.submit import Submitter
from batchcore_slurm.watch import Watcher


class SlurmBackend(Backend):
    """Tasks as elements of array jobs; their files are in the run directory, on shared disk."""

    def __init__(self, settings: SlurmSettings) -> None:
        """Call nothing yet."""
        self._settings = settings
        self._slurm = Slurm()
        self._books: dict[Path, Book] = {}
        self._watchers: dict[Path, Watcher] = {}

    def check(self, plan: Plan) -> Check:
        """Ask Slurm whether it would take such jobs."""
        return check_plan(self._slurm, plan, self._settings)

    def store(self, run: RunContext) -> str:
        """Return a directory of the run directory."""
        place = arrays.work(run) / ".store"
        try:
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as exc:
            raise write_error(place, exc) from exc
        return f"file://{place}"

    def submit(self, run: RunContext, tasks: Sequence[TaskSubmission]) -> None:
        """Submit what is new as array jobs, one for all attempts with the same needs."""
        Submitter(self._slurm, self._settings, run, self._book(run)).submit(tasks)

    def poll(self, run: RunContext, cursor: str, wait: float) -> Snapshot:  # noqa: ARG002 - the contract's
        """Ask Slurm once, look at the marks, and return what is new."""
        return self._watcher(run).poll(cursor)

    def read_log(
        self, run: RunContext, attempt: TaskSubmission, stream: Stream, offset: int
    ) -> LogChunk:
        """Read the log file, which the worker could have replaced by anything."""
        ended = self._has_ended(run, attempt)
        directory = arrays.attempt_of(run, attempt).task_directory
        with arrays.reading(directory):
            return log_chunk(directory, stream, offset, ended=ended)

    def cancel(self, run: RunContext, task_ids: Sequence[str]) -> None:
        """Stop the tasks; their nodes keep the grace time."""
        stop.cancel(self._slurm, run, self._book(run), task_ids)

    def outputs(self, run: RunContext, attempt: TaskSubmission) -> TaskFiles:
        """Return the attempt's own directory."""
        place = arrays.attempt_of(run, attempt)
        return TaskFiles(
            tree=f"file://{place.working_directory}",
            stdout=f"file://{place.task_directory / 'stdout.txt'}",
            stderr=f"file://{place.task_directory / 'stderr.txt'}",
        )

    def release(self, run: RunContext, *, dry_run: bool) -> Sequence[str]:
        """End the run's jobs, and delete its ``work/`` directory."""
        lines = stop.release(self._slurm, run, self._book(run), dry_run=dry_run)
        if not dry_run:
            self._books.pop(run.directory, None)
            self._watchers.pop(run.directory, None)
        return lines

    def close(self) -> None:
        """Forget what was read; jobs go on."""
        self._books.clear()
        self._watchers.clear()

    def _book(self, run: RunContext) -> Book:
        if run.directory not in self._books:
            self._books[run.directory] = Book(run)
        return self._books[run.directory]

    def _watcher(self, run: RunContext) -> Watcher:
        if run.directory not in self._watchers:
            patience = self._settings.patience
            self._watchers[run.directory] = Watcher(self._slurm, run, self._book(run), patience)
        return self._watchers[run.directory]

    def _has_ended(self, run: RunContext, attempt: TaskSubmission) -> bool:
        key = (attempt.task.id, attempt.attempt)
        place = self._book(run).places.get(key)
        told = self._watcher(run).has_ended(key)
        return told or (place is not None and place[0].has_ended(place[1]))
