"""From attempts to array jobs: what is known is adopted, and what is new is submitted once."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from batchcore.backend import RunContext, TaskSubmission
from batchcore.crash import reach
from batchcore.errors import BackendBug, BackendError
from batchcore.local import worker_environment
from batchcore.transfer import local_path, write_whole
from batchcore_slurm import arrays, script
from batchcore_slurm.arrays import Array, Book
from batchcore_slurm.commands import Slurm
from batchcore_slurm.containers import wrap
from batchcore_slurm.options import Options, array_options, task_options
from batchcore_slurm.settings import SlurmSettings

_LOCALE = ("LANG", "LC_ALL", "LC_CTYPE", "TZ")


class Submitter:
    """Submits attempts of one run; a crash at any point leaves what the next call needs.

    An intent without an answer is looked for by its run's name and its own comment. Were it
    missed there, the second array job would execute nothing: an attempt begins only once.
    """

    def __init__(self, slurm: Slurm, settings: SlurmSettings, run: RunContext, book: Book) -> None:
        """Do nothing yet."""
        self._slurm = slurm
        self._settings = settings
        self._run = run
        self._book = book
        self._tasks = {task.id: task for task in run.plan.tasks}

    def submit(self, submissions: Sequence[TaskSubmission]) -> None:
        """Return when Slurm has accepted every attempt."""
        self._settle([array for array in self._book.arrays.values() if array.job is None])
        new = [s for s in submissions if (s.task.id, s.attempt) not in self._book.places]
        for group in self._grouped(new):
            array = self._book.draft([(s.task.id, s.attempt) for s in group])
            for index, submission in enumerate(group):
                self._write_script(array, index, submission)
            self._book.intend(array)
            reach("slurm.intended")
            self._send(array)

    def _settle(self, unanswered: Sequence[Array]) -> None:
        """Find the array jobs whose answer was lost, and submit those that never arrived."""
        if not unanswered:
            return
        rows = self._slurm.queue(arrays.job_name(self._run.run_id))
        jobs = {row.comment: row.job for row in rows}
        for array in unanswered:
            job = array.begun_by() or jobs.get(array.comment)
            if job is not None:
                array.accept(job)
            else:
                self._send(array)

    def _send(self, array: Array) -> None:
        options = task_options(self._tasks[array.attempts[0][0]], self._settings)
        name = arrays.job_name(self._run.run_id)
        ours = array_options(name, array.comment, len(array.attempts))
        job = self._slurm.submit((*options, *ours), script.array_script(array.directory))
        reach("slurm.accepted")
        array.accept(job)

    def _grouped(self, submissions: Sequence[TaskSubmission]) -> Sequence[Sequence[TaskSubmission]]:
        """Return the attempts in groups of equal needs, none larger than an array job may be."""
        if not submissions:
            return []
        alike: dict[Options, list[TaskSubmission]] = {}
        for submission in submissions:
            options = task_options(submission.task, self._settings)
            alike.setdefault(options, []).append(submission)
        most = min(self._settings.array_size, largest_array(self._slurm.config))
        return [part for group in alike.values() for part in _parts(group, most)]

    def _write_script(self, array: Array, index: int, submission: TaskSubmission) -> None:
        attempt = arrays.attempt_of(self._run, submission)
        store = local_path(self._run.store)
        if store is None:
            raise BackendBug(f"{self._run.store!r} is no store of this backend")
        environment = {
            "PATH": search_path(),
            **{name: os.environ[name] for name in _LOCALE if name in os.environ},
            **worker_environment(
                attempt,
                node_root=attempt.directory.parent.parent,
                task_directory=attempt.task_directory,
            ),
        }
        user = f"{os.getuid()}:{os.getgid()}"
        wrapped = wrap(attempt, environment, self._settings, user)
        text = script.attempt_script(attempt, wrapped, store, array.marks / str(index))
        write_whole(array.directory / f"{index}.sh", os.fsencode(text), mode=0o600)


def largest_array(config: Mapping[str, str]) -> int:
    """Return how many elements an array job may have; `BackendError` where there are none."""
    text = config.get("MaxArraySize", "1001")
    if not text.isdigit() or int(text) < 1:
        raise BackendError("this cluster takes no array jobs: MaxArraySize is 0")
    return int(text)


def search_path() -> str:
    """Return where commands are looked for: beside this interpreter first."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def _parts(group: Sequence[TaskSubmission], most: int) -> Sequence[Sequence[TaskSubmission]]:
    return [group[start : start + most] for start in range(0, len(group), most)]
