"""A staged run and its backend, called method by method as the driver does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from batchcore.backend import (
    RunContext,
    Stream,
    TaskFiles,
    TaskSubmission,
    TaskUpdate,
)
from batchcore.clock import SystemClock
from batchcore.life.start import Prepared
from batchcore.states import TaskState
from batchcore.testing.deadline import Deadline, says
from batchcore.testing.patient import PatientBackend
from batchcore.testing.subject import Subject
from batchcore.transfer.stage import stage

_SHOWN = 20


class Opened:
    """A run that is staged and not submitted; `backend` and `context` are what the driver has.

    A call that fails with a transient error is made again, as the driver does. `updates` are all
    that `poll` has said so far, in its order.
    """

    def __init__(self, prepared: Prepared, subject: Subject) -> None:
        """Take over the open backend of a prepared job."""
        self._prepared = prepared
        self._subject = subject
        self._cursor = ""
        self._clock = SystemClock()
        self.backend = PatientBackend(prepared.backend, subject.pause)
        self.context = RunContext(
            run_id=prepared.run_id, plan=prepared.plan, directory=prepared.directory
        )
        self.updates: list[TaskUpdate] = []

    def stage(self) -> None:
        """Bring the resources into the store; again is harmless."""
        self.context.directory.mkdir(exist_ok=True)
        store = self.backend.store(self.context)
        self.context = msgspec.structs.replace(self.context, store=store)
        files = {file.key: file for task in self.context.plan.tasks for file in task.files}
        self.backend.repeat(
            lambda: stage(
                files.values(), store, {}, lambda _key, _file: None, self.backend.filesystem
            )
        )

    def attempt(self, task_id: str, number: int = 1) -> TaskSubmission:
        """Return an attempt of a task, as `submit`, `read_log` and `outputs` take it."""
        tasks = {task.id: task for task in self.context.plan.tasks}
        return TaskSubmission(tasks[task_id], number)

    def submit(self, *task_ids: str, number: int = 1) -> None:
        """Submit an attempt of these tasks, default of all."""
        wanted = task_ids or [task.id for task in self.context.plan.tasks]
        self.backend.submit(self.context, [self.attempt(name, number) for name in wanted])

    def poll(self) -> Sequence[TaskUpdate]:
        """Ask once for news, wait if the backend does not, and return what was new."""
        snapshot = self.backend.poll(self.context, self._cursor, self._subject.pause)
        self._cursor = snapshot.cursor
        self.updates += snapshot.updates
        if not snapshot.updates and not self.backend.notifies:
            self._clock.sleep(self._subject.pause)
        return snapshot.updates

    def poll_all(self) -> Sequence[TaskUpdate]:
        """Ask, without a cursor, for every attempt that the backend knows."""
        return self.backend.poll(self.context, "", 0.0).updates

    def until(
        self, condition: Callable[[TaskUpdate], bool], contract: str, task_id: str = ""
    ) -> TaskUpdate:
        """Poll until an update of the task (default: of any) meets the condition; return it.

        Fails with what the contract says, and with all that was said, if none ever does.
        """
        deadline = Deadline(self._subject.seconds)
        seen = 0
        while True:
            for update in self.updates[seen:]:
                if task_id in {"", update.task_id} and condition(update):
                    return update
            seen = len(self.updates)
            deadline.hold(contract, self.updates[-_SHOWN:])
            self.poll()

    def until_running(self, task_id: str) -> TaskUpdate:
        """Poll until a task runs; one that ended before is a failure."""
        update = self.until(
            lambda u: u.state is TaskState.RUNNING or u.state.final,
            "poll: a task that runs is said to be running",
            task_id,
        )
        assert update.state is TaskState.RUNNING, says("this task runs for long", update)
        return update

    def until_written(self, task_id: str, wanted: bytes) -> bytes:
        """Poll until the log of a running task has these bytes; return all of it so far."""
        deadline = Deadline(self._subject.seconds)
        attempt = self.attempt(task_id)
        while True:
            data = self.backend.read_log(self.context, attempt, "stdout", 0).data
            if wanted in data:
                return data
            deadline.hold("live_logs: stdout and stderr can be read while the task runs", data)
            self.poll()

    def until_begun(self, task_id: str, wanted: bytes) -> bytes:
        """Poll until a task that may be short has begun; return its log so far, where it shows.

        Where a log can be read while the task runs it then has the bytes `wanted`; elsewhere the
        task runs, or it has ended already.
        """
        if self._prepared.spec.capability("live_logs").level != "unsupported":
            return self.until_written(task_id, wanted)
        self.until(
            lambda u: u.state is TaskState.RUNNING or u.state.final,
            "poll: a task that runs is said to be running, or to have ended",
            task_id,
        )
        return b""

    def end_of(self, task_id: str, number: int = 1) -> TaskUpdate:
        """Poll until an attempt has ended, and return its last update."""
        return self.until(
            lambda update: update.state.final and update.attempt == number,
            "poll: every attempt that was submitted comes to an end",
            task_id,
        )

    def log(
        self, task_id: str, stream: Stream = "stdout", number: int = 1, offset: int = 0
    ) -> bytes:
        """Read the log of an ended attempt, chunk by chunk, until it says that it is complete."""
        data = b""
        deadline = Deadline(self._subject.seconds)
        while True:
            chunk = self.backend.read_log(
                self.context, self.attempt(task_id, number), stream, offset + len(data)
            )
            data += chunk.data
            if chunk.complete and not chunk.data:
                return data
            deadline.hold("read_log: the log of an ended attempt becomes complete", chunk)
            if not chunk.data:
                self._clock.sleep(self._subject.pause)

    def files(self, task_id: str, number: int = 1) -> TaskFiles:
        """Return where the files of an ended attempt are."""
        return self.backend.outputs(self.context, self.attempt(task_id, number))

    def reopen(self) -> None:
        """Close the backend and open it again, as another command would; nothing is remembered."""
        self.backend.close()
        settings, name = self._prepared.settings.backend, self._prepared.spec.name
        backend = self._prepared.plugins.create(name, settings)
        self.backend = PatientBackend(backend, self._subject.pause)
        self._cursor = ""
        self.updates.clear()

    def release(self, *, dry_run: bool = False) -> Sequence[str]:
        """Delete what the run has created, and return the lines."""
        return self.backend.release(self.context, dry_run=dry_run)

    def end(self) -> None:
        """Release and close, whatever the test has done."""
        try:
            self.release()
        finally:
            self.backend.close()
