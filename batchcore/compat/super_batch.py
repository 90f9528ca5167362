"""super_batch's `Client` on any backend: ``from batchcore.compat import super_batch``.

Controllers keep their calls, settings and files. The backend is `azure`, or what
``BATCHCORE_BACKEND`` or ``--backend NAME`` says. What differs is listed in docs/super_batch.md.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, Self

from msgspec.structs import replace

from batchcore.cli.session import Session
from batchcore.cli.tasklog import LogSource, choose_attempt
from batchcore.compat import job as jobs
from batchcore.compat import restore, results
from batchcore.compat.account import account_in_environment, choose_backend
from batchcore.compat.config import BatchConfig, Config
from batchcore.compat.differences import SuperBatchWarning, warning_text
from batchcore.compat.drive import Wish, drive, join, opened, submit, wait
from batchcore.compat.errors import JobFailed, NotRunnable, WaitedTooLong
from batchcore.errors import Conflict, NotFound
from batchcore.life.start import Options, Prepared, prepare, recorded
from batchcore.model import Job, Output, Resource, Task
from batchcore.plugins import Plugins
from batchcore.record import Header, read_header, read_heading
from batchcore.record.rundir import is_driven
from batchcore.run import Run

__all__ = [
    "BatchConfig",
    "Client",
    "JobFailed",
    "NotRunnable",
    "SuperBatchWarning",
    "WaitedTooLong",
    "client",
]


class Client:
    """Builds a job of super_batch, runs it, and brings its results into `BATCH_DIRECTORY`.

    `image` is what a new pool's machines run, an ImageReference of any SDK or
    ``"publisher/offer/sku"``, default the newest that Batch supports. `settings` are those of
    `BatchConfig`. Nothing is created before `build_resource_file` or `run`.

    `output_files` are absolute paths, which a controller may open as they are or join with
    `BATCH_DIRECTORY`: `os.path.join` leaves an absolute path alone. `tasks` are those of
    `add_task`, `config` the settings.
    """

    def __init__(self, image: object = None, **settings: Any) -> None:
        """Read the settings. Raises `SettingsError` (permanent) for one that is wrong."""
        self.config: Config = BatchConfig(**settings)
        self.image = image
        self.output_files: list[str] = []
        self.tasks: list[Task] = []
        self._plugins = Plugins()
        self._restored: Header | None = None
        self._is_restored = False
        self._warned = False

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Return a client for a job that a client with this `data` has begun, or will begin.

        It collects results and starts nothing. Credentials come from the environment again.
        Raises `UsageError` (permanent) for data that is not a client's.
        """
        known = restore.read_data(data)
        made = cls(**known.config)
        made.output_files = [made._place(name) for name in known.output_files]
        made._restored = known.run
        made._is_restored = True
        if known.backend:
            made.backend = known.backend
        return made

    @property
    def data(self) -> dict[str, Any]:
        """The client as plain data for `json.dump`, without any credential.

        Taken before or after `run`. A job on Azure is collected with it on any machine, one of a
        local backend on the machine that ran it.
        """
        return restore.to_data(self.config, self.backend, self.output_files, self._header())

    @cached_property
    def backend(self) -> str:
        """The name of the backend: that of the job where it has begun, else the chosen one."""
        if self._exists():
            return read_heading(self.config.run_directory).backend
        return self._chosen()

    def build_resource_file(
        self,
        file_path: str,
        container_path: str,
        duration_hours: float = 24,  # noqa: ARG002 - signed URLs live as long as they must
    ) -> Resource:
        """Return a file as an input of tasks, with the content that it has now.

        `file_path` starts at `BATCH_DIRECTORY`, `container_path` at the task's working directory.
        Raises `JobError` (permanent) for a file that cannot be read and a path that is not safe.
        """
        return jobs.resource(self.config, file_path, container_path)

    def build_output_file(self, output_file: str, container_path: str) -> Output:
        """Return a file that a task writes, as an output that is collected after its success.

        `output_file` is its path, or a pattern, in the working directory; `container_path` its
        name below `BATCH_DIRECTORY`, for a pattern that of a directory. Raises `JobError`
        (permanent) for a path that is not safe.
        """
        output = Output(output_file, to=container_path)
        self.output_files.append(self._place(container_path))
        return output

    def add_task(
        self,
        resource_files: Iterable[Resource],
        output_files: Iterable[Output],
        command_line: str | Sequence[str] | None = None,
    ) -> None:
        """Add a task named ``Task_0``, ``Task_1`` and so on; `COMMAND_LINE` is its default command.

        No shell runs: the command line is split into words. Raises `JobError` (permanent) for
        one that cannot be.
        """
        self._refuse_restored()
        made = jobs.task(self.config, len(self.tasks), resource_files, output_files, command_line)
        self.tasks.append(made)

    def run(self, wait: bool = True, quiet: bool = False) -> None:
        """Run the tasks; with `wait` until they have ended and their results are here.

        Without, a process in the background goes on with them, on Azure the service, and
        `load_results` brings the results. The same
        tasks under the same `JOB_ID` again go on where they were left; those that had failed are
        tried again. Raises what `load_results` raises, `JobError` before anything is created,
        and `Conflict` where the `JOB_ID` is that of other tasks.
        """
        self._refuse_restored()
        self.backend = self._chosen()
        self._warn()
        with self._account():
            prepared = self._prepared()
            try:
                record = recorded(prepared)
                wish = self._wish(wait=wait, quiet=quiet)
                if record is None:
                    join(Run.load(prepared.directory), wish)
                elif wait or prepared.spec.remote:
                    drive(record, prepared.backend, self._plugins, prepared.settings.core, wish)
                else:
                    submit(record, wish)
            finally:
                prepared.backend.close()
        if wait:
            self._take(Run.load(prepared.directory))

    def load_results(self, quiet: bool = False) -> None:
        """Wait until all tasks have ended and bring the results into `BATCH_DIRECTORY`.

        Also in a new client with the `JOB_ID` and `BATCH_DIRECTORY` of one that is gone. Raises
        `JobFailed` where tasks failed, when all have ended and the files of the others are here;
        `WaitedTooLong` after `STORAGE_ACCESS_DURATION_HRS`; `NotFound` where there is no such
        job; `Detached` after Ctrl-C; `BackendError`, after which it may be called again.
        """
        with self._account():
            self._take(self._waited(quiet=quiet))

    def print_task_output(self, encoding: str | None = None) -> None:
        """Print what each task has written to its standard output, until now where it still runs.

        `encoding` is UTF-8 by default; bytes that are not text in it are replaced.
        """
        screen = Session(()).out
        screen.line("Printing task output...")
        with self._account(), LogSource(self._loaded()) as source:
            for task in source.run.tasks:
                attempt = choose_attempt(source.run, task, None)
                text = b"".join(source.chunks(task.id, attempt, "stdout", 0))
                screen.line(f"Task: {task.id}\nNode: {task.node}\nStandard output:")
                screen.write(text.decode(encoding or "utf-8", "replace") + "\n")

    def _prepared(self) -> Prepared:
        """Plan and check the job; the run's id is that of an earlier begin, or of the data."""
        directory = self.config.run_directory
        options = Options(backend=self.backend, runs=str(directory.parent))
        prepared = prepare(self._job(), options, plugins=self._plugins)
        try:
            if self._exists():
                self._require_same(prepared)
            run_id = self._run_id
        except BaseException:
            prepared.backend.close()
            raise
        header = replace(prepared.header, run_id=run_id)
        return replace(prepared, run_id=run_id, directory=directory, header=header)

    def _require_same(self, prepared: Prepared) -> None:
        there, wanted = read_heading(self.config.run_directory), prepared.header
        names = ("spec_hash", "fingerprint", "backend")
        if any(getattr(there, name) != getattr(wanted, name) for name in names):
            raise Conflict(
                f"JOB_ID {self.config.JOB_ID!r} is that of other tasks, another image or backend",
                hint="give this job a JOB_ID of its own, with the time in it for example",
                where=str(self.config.run_directory),
                code="BC9001",
            )

    def _waited(self, *, quiet: bool) -> Run:
        run = self._loaded()
        if not run.has_ended or is_driven(run.directory):
            wait(run, self._wish(quiet=quiet))
        return run

    def _loaded(self) -> Run:
        """Return the job's run, taken over from another machine where it is not of this one."""
        directory = self.config.run_directory
        if not self._exists():
            self._adopt()
        run = Run.load(directory)
        if self._restored is not None and self._restored.run_id != run.id:
            raise Conflict(
                f"{directory} holds another run than the data: {run.id}",
                hint="set BATCH_DIRECTORY in the data to another directory",
                where=str(directory),
                code="BC9001",
            )
        return run

    def _adopt(self) -> None:
        if self._restored is None:
            raise NotFound(
                f"there is no job {self.config.JOB_ID!r} in {self.config.directory}",
                hint="give the BATCH_DIRECTORY of the client that began it; on another machine, "
                "use from_data",
                where=str(self.config.directory),
            )
        with opened(self._plugins, self._restored.plan, self.backend) as (backend, _core):
            restore.adopt(self.config.run_directory, self._restored, backend)

    def _take(self, run: Run) -> None:
        """Bring what there is into `BATCH_DIRECTORY`, and only then complain."""
        published = results.publish(run, self.config.directory)
        results.require_success(run)
        self.output_files = results.in_order(published, self.output_files)

    def _header(self) -> Header | None:
        if self._restored is not None or not (self.tasks or self._exists()):
            return self._restored
        if self._exists():
            return read_header(self.config.run_directory)
        return restore.planned(self._job(), self._run_id, self.backend)

    def _job(self) -> Job:
        return jobs.job(self.config, self.image, self.tasks, self.backend)

    @cached_property
    def _run_id(self) -> str:
        if self._exists():
            return read_heading(self.config.run_directory).run_id
        return jobs.new_run_id(self.config.JOB_ID)

    def _chosen(self) -> str:
        return choose_backend(self._plugins, sys.argv[1:], os.environ)

    def _exists(self) -> bool:
        return (self.config.run_directory / "job.json").exists()

    def _place(self, name: str) -> str:
        return str(self.config.directory / name)

    def _wish(self, *, wait: bool = True, quiet: bool) -> Wish:
        return Wish(wait=wait, hours=self.config.STORAGE_ACCESS_DURATION_HRS, quiet=quiet)

    def _refuse_restored(self) -> None:
        if self._is_restored:
            raise NotRunnable(
                "a client made by from_data collects results and starts nothing",
                hint="call load_results()",
            )

    def _warn(self) -> None:
        text = warning_text(self.config, self.image, self.backend)
        if text and not self._warned:
            self._warned = True
            warnings.warn(text, SuperBatchWarning, stacklevel=3)

    def _account(self) -> AbstractContextManager[None]:
        return account_in_environment(self.config, self._plugins, self.backend)


client = Client
