"""A backend that goes wrong as its settings say, around another one that works."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, ClassVar, TypeVar

import msgspec
from msgspec.structs import replace

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
    TaskUpdate,
)
from batchcore.clock import Clock, SystemClock
from batchcore.errors import BackendError
from batchcore.features import unsupported_requests
from batchcore.plan import Plan
from batchcore.plugins import Plugins
from batchcore.settings import job_settings, resolve
from batchcore.states import FailureReason, TaskState
from batchcore.testing.fault_settings import FaultSettings, draw, fate

if TYPE_CHECKING:
    from fsspec.spec import AbstractFileSystem

_DETAIL = "the backend fault was told so"

Answer = TypeVar("Answer")


def create(settings: FaultSettings) -> Backend:
    """Return the backend; the one inside is made when a plan says what its options are."""
    return FaultBackend(settings)


class FaultBackend(Backend):
    """Passes everything on to another backend, but for what is to go wrong.

    What becomes of an attempt follows from the settings, the task's id and the attempt's number,
    so it is the same after a killed controller. A task that loses its machine is canceled on the
    backend inside as soon as it runs; what that says of the attempt's end is not passed on.
    """

    notifies: ClassVar[bool] = True

    def __init__(self, settings: FaultSettings, clock: Clock | None = None) -> None:
        """Make nothing yet."""
        self._settings = settings
        self._clock = clock or SystemClock()
        self._plugins = Plugins()
        self._made: Backend | None = None
        self._cursor = ""
        self._said: list[TaskUpdate] = []
        self._held: list[tuple[float, TaskUpdate]] = []
        self._failed: set[tuple[str, int]] = set()
        self._canceled: set[str] = set()
        self._stopping: list[str] = []
        self._calls: dict[str, count[int]] = defaultdict(count)

    def check(self, plan: Plan) -> Check:
        """Ask the backend inside, also for what its description lacks; the settings count too."""
        inner = self._inner(plan)
        spec = self._plugins.spec(self._settings.inner)
        if problems := list(unsupported_requests(plan, spec)):
            return Check(problems=problems)
        found = inner.check(plan)
        told = msgspec.json.encode(self._settings).decode()
        notes = [*found.notes, f"fault makes {spec.name} go wrong on purpose"]
        return replace(found, notes=notes, fingerprint={**found.fingerprint, "fault": told})

    def store(self, run: RunContext) -> str:
        """Return the store of the backend inside."""
        return self._busy("store", lambda: self._inner(run.plan).store(run))

    def filesystem(self, url: str) -> tuple[AbstractFileSystem, str]:
        """Return what the backend inside makes of the URL."""
        return self._made.filesystem(url) if self._made else super().filesystem(url)

    def submit(self, run: RunContext, tasks: Sequence[TaskSubmission]) -> None:
        """Pass on all attempts but those whose image cannot be pulled."""
        self._busy("submit", lambda: self._submit(run, tasks))

    def poll(self, run: RunContext, cursor: str, wait: float) -> Snapshot:
        """Pass news on, with the ends that are to be, and each when it is due."""
        return self._busy("poll", lambda: self._poll(run, cursor, wait))

    def read_log(
        self, run: RunContext, attempt: TaskSubmission, stream: Stream, offset: int
    ) -> LogChunk:
        """Pass it on; an attempt that had no image has written nothing."""
        if self._fate(attempt.task.id, attempt.attempt) is FailureReason.IMAGE:
            return LogChunk(b"", complete=True)
        inner = self._inner(run.plan)
        return self._busy("read_log", lambda: inner.read_log(run, attempt, stream, offset))

    def cancel(self, run: RunContext, task_ids: Sequence[str]) -> None:
        """Pass it on; how these tasks end is what the backend inside says."""
        self._canceled.update(task_ids)
        self._busy("cancel", lambda: self._inner(run.plan).cancel(run, task_ids))

    def outputs(self, run: RunContext, attempt: TaskSubmission) -> TaskFiles:
        """Pass it on."""
        return self._busy("outputs", lambda: self._inner(run.plan).outputs(run, attempt))

    def release(self, run: RunContext, *, dry_run: bool) -> Sequence[str]:
        """Pass it on."""
        return self._inner(run.plan).release(run, dry_run=dry_run)

    def settle(self, run: RunContext) -> None:
        """Pass it on."""
        self._busy("settle", lambda: self._inner(run.plan).settle(run))

    def explain(
        self, run: RunContext, attempts: Sequence[TaskSubmission]
    ) -> Mapping[str, Sequence[str]]:
        """Pass it on."""
        return self._inner(run.plan).explain(run, attempts)

    def shell(self, run: RunContext, attempt: TaskSubmission) -> Shell | None:
        """Pass it on."""
        return self._inner(run.plan).shell(run, attempt)

    def close(self) -> None:
        """Close the backend inside."""
        if self._made:
            self._made.close()

    def _inner(self, plan: Plan) -> Backend:
        """Return the backend inside, with the settings that it would have had by itself."""
        if self._made is None:
            name = self._settings.inner
            found = resolve(self._plugins, flags={"backend": name}, job=job_settings(plan))
            self._made = self._plugins.create(name, found.backend)
        return self._made

    def _fate(self, task_id: str, attempt: int) -> FailureReason | None:
        return fate(self._settings, task_id, attempt)

    def _busy(self, method: str, call: Callable[[], Answer]) -> Answer:
        """Make a call, or raise a transient error before or after; the next call goes well."""
        number = next(self._calls[method])
        drawn = draw(self._settings.seed, "busy", method, number)
        is_busy = number % 2 == 0 and drawn < 2 * self._settings.busy
        error = BackendError(f"fault is busy: {method} was not answered", transient=True)
        if is_busy and drawn < self._settings.busy:
            raise error
        answer = call()
        if is_busy:
            raise error
        return answer

    def _submit(self, run: RunContext, tasks: Sequence[TaskSubmission]) -> None:
        passed = []
        for submission in tasks:
            key = (submission.task.id, submission.attempt)
            if self._fate(*key) is not FailureReason.IMAGE:
                passed.append(submission)
            elif key not in self._failed:
                self._failed.add(key)
                self._hold(_failed(*key, FailureReason.IMAGE, self._clock.now()))
        if passed:
            self._inner(run.plan).submit(run, passed)

    def _poll(self, run: RunContext, cursor: str, wait: float) -> Snapshot:
        position = int(cursor or 0)
        self._tell()
        if len(self._said) > position:
            wait = 0
        self._listen(run, self._until_next_end(wait))
        self._tell()
        return Snapshot(updates=self._said[position:], cursor=str(len(self._said)))

    def _listen(self, run: RunContext, wait: float) -> None:
        """Take news from the backend inside, and stop what is to lose its machine."""
        inner = self._inner(run.plan)
        snapshot = inner.poll(run, self._cursor, wait)
        self._cursor = snapshot.cursor
        for update in snapshot.updates:
            self._hold(self._as_fated(update))
        self._stopping += self._to_stop(snapshot.updates)
        if self._stopping:
            inner.cancel(run, self._stopping)
            self._stopping = []
        if not snapshot.updates and not inner.notifies:
            self._clock.sleep(wait)

    def _to_stop(self, updates: Sequence[TaskUpdate]) -> list[str]:
        """Return the tasks that are to lose their machine now, in the attempt that runs."""
        ended = {(u.task_id, u.attempt) for u in updates if u.state.final}
        running = {(u.task_id, u.attempt): None for u in updates if u.state is TaskState.RUNNING}
        doomed = [key for key in running if key not in ended and self._fate(*key)]
        return [task_id for task_id, _attempt in doomed]

    def _as_fated(self, update: TaskUpdate) -> TaskUpdate:
        reason = self._fate(update.task_id, update.attempt)
        if reason is None or not update.state.final or update.task_id in self._canceled:
            return update
        ended = update.ended_at or self._clock.now()
        failed = _failed(update.task_id, update.attempt, reason, ended)
        return replace(failed, node=update.node, started_at=update.started_at)

    def _hold(self, update: TaskUpdate) -> None:
        """Keep an update until it is due; an end that is told late counts from when it was."""
        late = self._settings.delay if update.state.final else 0.0
        ended = update.ended_at or self._clock.now()
        self._held.append((ended + late if late else 0.0, update))

    def _tell(self) -> None:
        now = self._clock.now()
        self._said += [update for due, update in self._held if due <= now]
        self._held = [(due, update) for due, update in self._held if due > now]

    def _until_next_end(self, wait: float) -> float:
        dues = [due - self._clock.now() for due, _ in self._held]
        return max(0.0, min([wait, *dues]))


def _failed(task_id: str, attempt: int, reason: FailureReason, at: float) -> TaskUpdate:
    return TaskUpdate(
        task_id=task_id,
        attempt=attempt,
        state=TaskState.FAILED,
        reason=reason,
        detail=f"{reason.value}: {_DETAIL}",
        ended_at=at,
    )
