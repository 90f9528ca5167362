"""Stopping attempts, and deleting what a run has made."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence

from batchcore.backend import RunContext
from batchcore.errors import BackendError
from batchcore.transfer import remove_tree
from batchcore_slurm import arrays
from batchcore_slurm.answers import Row, elements
from batchcore_slurm.arrays import Book
from batchcore_slurm.commands import Slurm

STOP = "USR1"
KILL = "USR2"
_SCRIPT_SECONDS = 3.0
_END_SECONDS = 45.0
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 2.0


def cancel(slurm: Slurm, run: RunContext, book: Book, task_ids: Iterable[str]) -> None:
    """Ask for the attempts of these tasks to stop; a node sends TERM and later KILL by itself.

    What starts between the question and the request finds its mark, and starts no command.
    """
    wanted: set[tuple[str | None, int]] = set()
    for array, index in book.of_tasks(task_ids):
        if not array.has_ended(index):
            array.mark_canceled(index)
            wanted |= {(array.job, index), (array.comment, index)}
    if wanted:
        rows = slurm.queue(arrays.job_name(run.run_id))
        ours = [r for r in rows if wanted & {(r.job, r.index), (r.comment, r.index)}]
        signal(slurm, ours, STOP)


def signal(slurm: Slurm, rows: Iterable[Row], name: str) -> None:
    """Take what waits out of the queue, and send a signal to the scripts of what runs.

    Without a filter of ``scancel``, which would take the whole of an array job that waits for one
    of its elements (seen with Slurm 22.05).
    """
    waiting: dict[str, list[int]] = {}
    running: dict[str, list[int]] = {}
    for row in rows:
        if not row.ended:
            there = waiting if row.state == "PENDING" else running
            there.setdefault(row.job, []).append(row.index)
    if waiting:
        slurm.cancel([word for job in waiting for word in elements(job, waiting[job])])
    if running:
        words = [word for job in running for word in elements(job, running[job])]
        slurm.cancel(words, f"--signal={name}", "--batch")


def release(slurm: Slurm, run: RunContext, book: Book, *, dry_run: bool) -> Sequence[str]:
    """End the jobs of a run and delete its directory; return a line for each of them.

    A job that only clears up after its tasks has none: it is gone a moment later by itself.
    Transient: a job has not ended within 45 s.
    """
    directory = arrays.work(run)
    counts = Counter(row.job for row in _living(slurm, run) if not book.has_ended(row))
    lines = [f"job {job} ({count} tasks)" for job, count in sorted(counts.items())]
    if arrays.mtime(directory) is not None:
        lines.append(f"directory {directory}")
    if not dry_run:
        _end(slurm, run)
        remove_tree(directory)
    return lines


def _living(slurm: Slurm, run: RunContext) -> Sequence[Row]:
    return [row for row in slurm.queue(arrays.job_name(run.run_id)) if not row.ended]


def _end(slurm: Slurm, run: RunContext) -> None:
    """Return when Slurm has nothing of the run any more that could write.

    A script that kills itself is gone at once; Slurm's own way takes many seconds.
    """
    started = time.monotonic()
    pause = _FIRST_PAUSE
    while rows := _living(slurm, run):
        passed = time.monotonic() - started
        if passed > _END_SECONDS:
            raise BackendError(
                f"{len(rows)} tasks of the run have not ended, the first is of job {rows[0].job}",
                hint="see what `squeue --me` says of them, and run the same command again",
                transient=True,
            )
        if passed > _SCRIPT_SECONDS:
            slurm.cancel(sorted({row.job for row in rows}))
        else:
            signal(slurm, rows, KILL)
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
