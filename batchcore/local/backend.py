"""The backend contract on top of the engine; every backend of this machine is one of these."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from batchcore.backend import (
    Backend,
    Check,
    LogChunk,
    RunContext,
    Shell,
    Snapshot,
    Stream,
    TaskFiles,
    TaskSubmission,
)
from batchcore.clock import Clock, SystemClock
from batchcore.local.ends import read_exit
from batchcore.local.engine import Engine
from batchcore.local.runner import Attempt, OpensShell, Runner
from batchcore.plan import Plan
from batchcore.record import durability
from batchcore.transfer.files import write_error, write_whole
from batchcore.transfer.logs import log_chunk
from batchcore.transfer.remove import remove_tree
from batchcore.transfer.stage import local_path, materialise


class LocalBackend(Backend):
    """Tasks on this machine, run by a `Runner` on as many slots as there are processors.

    The run directory holds all of it: the store in ``work/.store``, an attempt's files in
    ``work/<task>/<attempt>``.
    """

    notifies: ClassVar[bool] = True

    def __init__(
        self, runner: Runner, slots: int | None = None, clock: Clock | None = None
    ) -> None:
        """Take `slots` processors' worth of tasks at once, default all of this machine's."""
        self._runner = runner
        self._store: Path | None = None
        self._engine = Engine(
            runner, slots or os.cpu_count() or 1, clock or SystemClock(), self._fill
        )

    def check(self, plan: Plan) -> Check:
        """Ask the runner; creates nothing."""
        return self._runner.check(plan)

    def store(self, run: RunContext) -> str:
        """Return a directory of the run directory.

        What another boot of the machine has left in ``work/`` may have lost its content, however
        whole it looks: it is deleted, and what ran then runs again.
        """
        work = _work(run)
        if not _is_of_this_boot(work):
            self._runner.sweep(run.run_id, work)
            remove_tree(work)
        _mark_boot(work)
        return f"file://{work / '.store'}"

    def submit(self, run: RunContext, tasks: Sequence[TaskSubmission]) -> None:
        """Queue the attempts; those of an earlier process are adopted when their turn comes."""
        self._store = local_path(run.store)
        self._runner.prepare([submission.task for submission in tasks], run.notify)
        self._engine.submit([_attempt(run, submission) for submission in tasks])

    def poll(self, run: RunContext, cursor: str, wait: float) -> Snapshot:  # noqa: ARG002 - the contract's
        """Return what the engine said since the cursor; waits for news."""
        updates, position = self._engine.updates(int(cursor or 0), wait)
        return Snapshot(updates=updates, cursor=str(position))

    def read_log(
        self, run: RunContext, attempt: TaskSubmission, stream: Stream, offset: int
    ) -> LogChunk:
        """Read the log file, which the worker could have replaced by anything."""
        place = _attempt(run, attempt)
        ended = read_exit(place) is not None
        return log_chunk(place.task_directory, stream, offset, ended=ended)

    def cancel(self, run: RunContext, task_ids: Sequence[str]) -> None:  # noqa: ARG002 - as above
        """Stop the tasks; what an earlier process started is adopted by `submit` first."""
        self._engine.cancel(task_ids)

    def outputs(self, run: RunContext, attempt: TaskSubmission) -> TaskFiles:
        """Return the attempt's own directory."""
        place = _attempt(run, attempt)
        return TaskFiles(
            tree=f"file://{place.working_directory}",
            stdout=f"file://{place.task_directory / 'stdout.txt'}",
            stderr=f"file://{place.task_directory / 'stderr.txt'}",
        )

    def shell(self, run: RunContext, attempt: TaskSubmission) -> Shell | None:
        """Fill the attempt's directory and let the runner say how a shell is opened there."""
        if not isinstance(self._runner, OpensShell):
            return None
        place = _attempt(run, attempt)
        self._store = local_path(run.store)
        self._runner.prepare([attempt.task], run.notify)
        self._fill(place)
        return self._runner.shell(place)

    def release(self, run: RunContext, *, dry_run: bool) -> Sequence[str]:
        """Delete what runs or ran for this run, and its ``work/`` directory."""
        work = _work(run)
        lines = list(self._runner.leftovers(run.run_id, work))
        if work.exists():
            lines.append(f"directory {work}")
        if not dry_run:
            self._engine.abandon()
            self._runner.sweep(run.run_id, work)
            remove_tree(work)
        return lines

    def close(self) -> None:
        """End the slots; running commands go on."""
        self._engine.close()

    def _fill(self, attempt: Attempt) -> None:
        """Make the attempt's directory, whole or not at all, with exactly its resources."""
        ready = attempt.control / "ready"
        if ready.exists():
            return
        remove_tree(attempt.directory)
        try:
            attempt.control.mkdir(parents=True, mode=0o700)
            attempt.working_directory.mkdir(parents=True, mode=0o700)
        except OSError as exc:
            raise write_error(attempt.directory, exc) from exc
        if self._store is not None:
            materialise(attempt.task.files, self._store, attempt.working_directory)
        ready.touch()


def _work(run: RunContext) -> Path:
    return run.directory / "work"


def _is_of_this_boot(work: Path) -> bool:
    """Return whether nothing in the directory was written before the machine last stopped."""
    try:
        return durability.is_same_boot((work / "boot").read_text(), durability.boot_id())
    except FileNotFoundError:
        return not work.exists()


def _mark_boot(work: Path) -> None:
    if not (work / "boot").exists():
        write_whole(work / "boot", durability.boot_id().encode())


def _attempt(run: RunContext, submission: TaskSubmission) -> Attempt:
    return Attempt(
        run_id=run.run_id,
        task=submission.task,
        number=submission.attempt,
        directory=_work(run) / submission.task.id / str(submission.attempt),
        base=Path(run.plan.base),
    )
