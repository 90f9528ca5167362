"""The handle a user holds on a run: look at it, read its logs, take its results."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from batchcore.errors import NotFound, TasksFailed, suggest
from batchcore.plan import Plan
from batchcore.record import (
    Header,
    Heading,
    Record,
    TaskRow,
    read_header,
    read_heading,
    read_plan,
)
from batchcore.record.requests import request_cancel
from batchcore.results import RunReport, TaskResult, digest_of, task_result
from batchcore.states import TaskState
from batchcore.transfer.files import CHUNK

if TYPE_CHECKING:
    import pandas as pd

    from batchcore.replay import Replay

_ROWS = 10  # of tasks in a notebook


class Run:
    """One submission of a job to one backend, known by its run directory.

    Reading is always allowed, while another process drives the run too.
    """

    def __init__(self, directory: Path, heading: Heading) -> None:
        """Use `Run.load`, or what `Job.run` returns."""
        self.directory = directory
        self.heading = heading

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Return the run in a directory; raises `NotFound` where there is none."""
        path = Path(directory).absolute()
        return cls(path, read_heading(path))

    @cached_property
    def header(self) -> Header:
        """All that never changes about the run, its job too; read when it is first asked for."""
        return read_header(self.directory)

    @cached_property
    def plan(self) -> Plan:
        """The plan of the run; read when it is first asked for."""
        return read_plan(self.directory)

    @property
    def id(self) -> str:
        """The run's id."""
        return self.heading.run_id

    @property
    def state(self) -> str:
        """``running``, ``succeeded``, ``failed`` or ``canceled``.

        `running` means that tasks have not ended; whether a controller drives it now or the same
        command must be given again is not part of it.
        """
        with self._record(whole=False) as record:
            return _state(record.counts())

    @property
    def has_ended(self) -> bool:
        """Whether a controller has driven the run to its end, and written that down."""
        with self._record(whole=False) as record:
            return record.has_ended

    def wait(self, timeout: float | None = None) -> Self:
        """Wait until all tasks have ended, and return this run.

        Follows the process that drives the run. Where there is none, this one drives it, as
        `Job.run` does: after Ctrl-C, which raises `Detached`, and after `timeout` seconds, which
        raise `WaitTimeout`, what has started goes on, and nothing else starts until the next wait.
        Raises `BackendError` where the backend failed. Tasks that failed do not raise, and are
        not tried again.
        """
        from batchcore.life.manage import wait_run

        wait_run(self, timeout=timeout)
        return self

    def retry(self, tasks: Sequence[str] = (), reasons: Sequence[str] = ()) -> Self:
        """Run failed tasks again, wait until they have ended, and return this run.

        `tasks` are ids or patterns of ids, and `reasons` are those of failures, or ``canceled``;
        both together choose what fits both, and neither chooses all that failed. Tasks that
        failed because they wait for a chosen one run too. They get new attempts and fresh budgets;
        all others stay as they ended. Where nothing is chosen nothing happens, but that a run that
        has not ended goes on. Raises `NotFound`, `UsageError`, `JobError` for a secret that is not
        set, `Conflict` where another process drives the run, and after Ctrl-C `Detached`.
        """
        from batchcore.life.retry import retry_run

        retry_run(self, tasks, reasons)
        return self

    def replay(
        self, task_id: str, backend: str = "", directory: str | Path | None = None
    ) -> Replay:
        """Run one task that has ended once more, by itself, and return what differs.

        It has what it had: command, environment, resources by their digest, and its image by that
        of the run, which stays as it is. `backend` defaults to ``local-docker`` for a task with an
        image where a Docker daemon answers, else, and for a run of that, ``local-process``;
        `directory` to one below this run's own. Raises `NotFound`, `UsageError` for a task that
        has not ended, `JobError`, `EnvironmentNotReady` for a missing daemon or image,
        `TransferError` for resources that are lost, `Conflict` for a directory that is taken,
        `BackendError`, and after Ctrl-C `Detached`.
        """
        from batchcore.replay import Wanted, replay_task

        place = None if directory is None else Path(directory)
        return replay_task(Wanted(run=self, task=task_id, backend=backend, directory=place))

    def report(self, states: Collection[TaskState] | None = None, limit: int = -1) -> RunReport:
        """Return what is known of the run, and of its tasks in these states, default all.

        At most `limit` tasks, all where it is negative. Few tasks of a large run take a fraction
        of the time that all do.
        """
        with self._record(whole=states is None) as record:
            rows = record.rows(states, limit)
            outputs = record.outputs(states)
            counts = record.counts()
            store = record.store
            place = record.outputs_directory
        tasks = tuple(
            task_result(row, place, self._in_order(row, outputs.get(row.id, []))) for row in rows
        )
        return RunReport(
            run=self.id,
            backend=self.heading.backend,
            state=_state(counts),
            directory=self.directory,
            counts={state.value: count for state, count in sorted(counts.items())},
            tasks=tasks,
            store=store,
        )

    def write_report(self, path: str | Path) -> Path:
        """Write the report of this run as it stands, and return where its page is.

        That is one HTML file, at `path` or in the directory `path`, with ``trace.csv`` and
        ``report.json`` beside it. Raises `UsageError` where a file is in the way that is no
        report, `BackendError` for a damaged record, and `EnvironmentNotReady` or `TransferError`
        where the files cannot be written.
        """
        from batchcore.history import read_history
        from batchcore.report.files import write_report

        return write_report(read_history(self), Path(path))

    @property
    def tasks(self) -> tuple[TaskResult, ...]:
        """All tasks in the order of the job."""
        return self.report().tasks

    def task(self, task_id: str) -> TaskResult:
        """Return one task; raises `NotFound` with the nearest id."""
        self.require_tasks([task_id])
        return next(task for task in self.tasks if task.id == task_id)

    @property
    def output_files(self) -> list[Path]:
        """The collected files in the order of the job's tasks and their outputs.

        Raises `TasksFailed` where not every task succeeded, because a sum over the rest would be
        wrong; what there is can be read from `tasks`.
        """
        self.raise_for_state()
        return [output.file for task in self.tasks for output in task.outputs]

    def to_dataframe(self) -> pd.DataFrame:
        """Return a row for each task in the order of the job, as a table of pandas.

        The index, `task`, has the ids. The columns are `state`; `reason` and `exit_code`, missing
        where there is none; `attempt`, the last one; `started_at` and `ended_at`, in UTC;
        `duration` in seconds; `node`; `detail`, why it failed; `bytes`, the size of all its
        outputs; `outputs`, the list of their paths. Raises `EnvironmentNotReady` without pandas.
        """
        from batchcore.report.frame import data_frame

        return data_frame(self.tasks)

    def raise_for_state(self) -> None:
        """Raise `TasksFailed` unless every task succeeded."""
        report = self.report()
        if report.state == "succeeded":
            return
        bad = [task for task in report.tasks if task.state is not TaskState.SUCCEEDED]
        first = bad[0]
        raise TasksFailed(
            f"{len(bad)} of {len(report.tasks)} tasks have not succeeded; the first is "
            f"{first.id!r}: {first.state}" + (f" ({first.reason})" if first.reason else ""),
            hint=f"look with: batchcore logs {self.directory} {first.id}",
            where=str(self.directory),
        )

    def log(self, task_id: str, stream: str = "stdout", attempt: int | None = None) -> bytes:
        """Return a task's log, of its last attempt by default; empty where there is none."""
        return b"".join(self.log_chunks(task_id, stream, attempt))

    def log_chunks(
        self, task_id: str, stream: str = "stdout", attempt: int | None = None, offset: int = 0
    ) -> Iterator[bytes]:
        """Yield a kept log in pieces of at most 1 MiB, from `offset` bytes on."""
        task = self.task(task_id)
        with self._record() as record:
            path = record.log_path(task_id, attempt or task.attempt, stream)
        try:
            with path.open("rb") as file:
                file.seek(offset)
                while chunk := file.read(CHUNK):
                    yield chunk
        except FileNotFoundError:
            return

    def attempts(self, task_id: str) -> list[dict[str, Any]]:
        """Return the ended attempts of a task, oldest first."""
        with self._record() as record:
            return record.attempts(self.task(task_id).id)

    def cancel(self, task_ids: Sequence[str] = ()) -> None:
        """Ask the controller that drives the run to stop these tasks, or all.

        Returns at once. Where no controller runs, the next one finds the request;
        `batchcore.life.manage.cancel_run` carries it out there and then.
        """
        self.require_tasks(task_ids)
        request_cancel(self.directory, task_ids)

    def verify(self, task_ids: Sequence[str] = ()) -> list[TaskResult]:
        """Read the collected files of these tasks, or of all, again.

        Raises `TransferError` naming the first file that is wrong, `NotFound` for an unknown task.
        """
        self.require_tasks(task_ids)
        tasks = [task for task in self.tasks if not task_ids or task.id in set(task_ids)]
        for task in tasks:
            for output in task.outputs:
                if digest_of(output.file) != output.sha256:
                    raise output.wrong(task.id)
        return tasks

    def require_tasks(self, task_ids: Sequence[str]) -> None:
        """Raise `NotFound` for the first id that is no task of the run."""
        known = set(self.heading.task_ids) if task_ids else set()
        for task_id in task_ids:
            if task_id not in known:
                raise NotFound(
                    f"run {self.id} has no task {task_id!r}",
                    hint=suggest(task_id, known),
                    code="BC5001",
                )

    @contextmanager
    def _record(self, *, whole: bool = True) -> Iterator[Record]:
        """Open the record for reading as long as a block."""
        record = Record.read(self.directory, self.heading, whole=whole)
        try:
            with record.errors():
                yield record
        finally:
            record.close()

    def _in_order(self, row: TaskRow, outputs: list[Any]) -> list[Any]:
        """Sort a task's files by the outputs that named them."""
        if len(outputs) <= 1:
            return outputs
        planned = self.plan.tasks[row.position].outputs
        places = [output.to for output in planned]

        def rank(file: Any) -> tuple[int, str]:
            found = (
                n for n, to in enumerate(places) if file.to == to or file.to.startswith(f"{to}/")
            )
            return next(found, len(places)), file.to

        return sorted(outputs, key=rank)

    def _repr_mimebundle_(self, **_wanted: Any) -> dict[str, str]:
        """Return the run as a notebook shows it, those that failed before all others."""
        failed = self.report([TaskState.FAILED], _ROWS)
        others = self.report([state for state in TaskState if state is not TaskState.FAILED], _ROWS)
        shown = msgspec.structs.replace(others, tasks=(*failed.tasks, *others.tasks))
        return shown._repr_mimebundle_()

    def _repr_html_(self) -> str:
        """Return the same as HTML, for what asks for nothing else."""
        return self._repr_mimebundle_()["text/html"]

    def __repr__(self) -> str:
        """Name the run and its state."""
        return f"<Run {self.id} on {self.heading.backend}: {self.state}>"


def _state(counts: dict[TaskState, int]) -> str:
    if any(not state.final for state in counts):
        return "running"
    if TaskState.FAILED in counts:
        return "failed"
    return "canceled" if TaskState.CANCELED in counts else "succeeded"
