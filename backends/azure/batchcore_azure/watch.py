"""What has become of a run's attempts: one listing of changes for each job that has open ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from azure.batch.models import (  # noqa: TID253 - only loaded once the backend is used
    BatchJob,
    BatchTask,
)
from azure.core.exceptions import ResourceNotFoundError  # noqa: TID253 - as above

from batchcore.backend import RunContext, Snapshot, TaskUpdate
from batchcore.clock import Clock
from batchcore.plan import PlannedTask
from batchcore.states import FailureReason, TaskState
from batchcore_azure import names
from batchcore_azure.auth import Account
from batchcore_azure.cancel import stop_tasks
from batchcore_azure.errors import azure_errors
from batchcore_azure.jobs import CANCELED, NO_POOL, Jobs, end_reason
from batchcore_azure.outcome import (
    SELECTED,
    Bounds,
    has_waited_too_long,
    lowered,
    requeues_of,
    seconds,
    state_of,
    update_of,
)
from batchcore_azure.pool import Condition
from batchcore_azure.settings import AzureSettings
from batchcore_azure.tasks import Rejection
from batchcore_azure.translate import time_limit

LOOK_SECONDS = 30.0
"""How often the jobs and the pool are looked at."""

OVERLAP = timedelta(seconds=15)
"""How much of the past is listed again, as changes need not become visible in their order."""

_FULL_SECONDS = 600.0
_PAGE = 1_000
_SELECTED = list(SELECTED)
_QUEUED, _FAILED = TaskState.QUEUED, TaskState.FAILED


class _Job:
    """What was seen of one job."""

    def __init__(self, job_id: str, attempt: int) -> None:
        self.id = job_id
        self.attempt = attempt
        self.since: datetime | None = None
        self.listed_at = 0.0
        self.reported: dict[str, TaskUpdate] = {}
        self.open: set[str] = set()
        self.waiting: dict[str, float] = {}


class Watch:
    """Watches one run; what it says is the service's, what it remembers spares questions."""

    def __init__(
        self,
        run: RunContext,
        account: Account,
        jobs: Jobs,
        *,
        settings: AzureSettings,
        condition: Callable[[], Condition],
        clock: Clock,
    ) -> None:
        """Take what it asks; `condition` says why the run's machines take no tasks."""
        self._run = run
        self._account = account
        self._known = jobs
        self._settings = settings
        self._ask_condition = condition
        self._clock = clock
        self._tasks = {task.id.lower(): task for task in run.plan.tasks}
        self._jobs: dict[str, _Job] = {}
        self._rejected: dict[tuple[str, int], TaskUpdate] = {}
        self._news: list[TaskUpdate] = []
        self._cursor: str | None = None
        self._condition = Condition()
        self._looked = self._listed = float("-inf")

    def expect(self, attempt: int, placed: Mapping[str, str]) -> None:
        """Note that these attempts, by their task's id, are in these jobs."""
        for task_id, job_id in placed.items():
            job = self._jobs.setdefault(job_id, _Job(job_id, attempt))
            if task_id not in job.reported:
                job.open.add(task_id)
                job.waiting[task_id] = self._clock.now()

    def refuse(self, attempt: int, rejected: Mapping[str, Rejection]) -> None:
        """Note that the service did not take these attempts."""
        for task_id, why in rejected.items():
            update = TaskUpdate(
                task_id=task_id,
                attempt=attempt,
                state=_FAILED,
                reason=FailureReason.START_FAILED,
                detail=f"Batch does not take the task: {why.text}",
                native=why.code,
                retryable=False,
            )
            self._rejected[task_id, attempt] = update
            self._news.append(update)

    def poll(self, cursor: str) -> Snapshot:
        """Return what changed since the last answer, or everything for any other cursor.

        Raises `BackendError`; what was found before it is in the next answer.
        """
        now = self._clock.monotonic()
        everything = cursor != self._cursor
        if everything:
            self._forget()
        if everything or now - self._listed >= _FULL_SECONDS:
            self._listed = now
            for job in self._jobs.values():
                job.since = None
        looking = everything or now - self._looked >= LOOK_SECONDS
        found = {job.id or "": job for job in self._known.of(self._run.run_id)} if looking else {}
        self._discover(found)
        for job in self._jobs.values():
            if job.open or everything:
                self._list(job, job.since)
        if looking:
            self._look(found)
            self._looked = now
        news, self._news = self._news, []
        self._cursor = json.dumps({job.id: str(job.since) for job in self._jobs.values()})
        return Snapshot(updates=news, cursor=self._cursor)

    def look_soon(self) -> None:
        """Look at the jobs with the next poll: what a job's end leaves waiting is seen there."""
        self._looked = float("-inf")

    def _forget(self) -> None:
        self._cursor = None
        self._news = list(self._rejected.values())
        for job in self._jobs.values():
            job.reported.clear()

    def _discover(self, found: Mapping[str, BatchJob]) -> None:
        for job_id in found:
            place = names.job_of_attempt(self._run.run_id, job_id)
            if place is not None:
                self._jobs.setdefault(job_id, _Job(job_id, place[0]))

    def _list(self, job: _Job, since: datetime | None) -> None:
        """Note what is new of a job; where it is gone, that its open attempts have failed."""
        lost: list[str] = []
        now = self._clock.monotonic()
        # What the last list has shown is up to date as of then, however old its latest change is.
        latest = since and since + timedelta(seconds=now - job.listed_at)
        with azure_errors(f"reading the tasks of the job {job.id}"):
            try:
                for task in self._account.batch.list_tasks(
                    job.id, filter=_filter(since), select=_SELECTED, max_results=_PAGE
                ):
                    latest = _later(latest, task.state_transition_time)
                    planned = self._planned(task)
                    if planned is None:
                        continue
                    self._news += self._note(job, planned, task)
                    if state_of(task) != "completed" and self._lost_too_often(task):
                        lost.append(task.id or "")
            except ResourceNotFoundError:
                self._news += self._end_open(job, f"the job {job.id} was deleted")
                return
        job.since, job.listed_at = latest, now
        stop_tasks(self._account, job.id, lost)

    def _planned(self, task: BatchTask) -> PlannedTask | None:
        """Return the run's task that this is, None where somebody else has added it."""
        return self._tasks.get((task.id or "").lower())

    def _note(self, job: _Job, planned: PlannedTask, task: BatchTask) -> Iterator[TaskUpdate]:
        update = update_of(task, job.attempt, self._bounds(planned))
        if update.state.final:
            job.open.discard(planned.id)
        else:
            job.open.add(planned.id)
        if update.state is _QUEUED:
            job.waiting[planned.id] = seconds(task.creation_time) or self._clock.now()
        else:
            job.waiting.pop(planned.id, None)
        if job.reported.get(planned.id) != update:
            job.reported[planned.id] = update
            yield update

    def _lost_too_often(self, task: BatchTask) -> bool:
        return requeues_of(task) > self._settings.max_requeues

    def _bounds(self, planned: PlannedTask) -> Bounds:
        is_quota = self._condition.is_quota
        return Bounds(
            seconds=time_limit(planned, self._settings),
            queue_seconds=self._settings.queue_seconds,
            requeues=self._settings.max_requeues,
            waiting=self._condition.text,
            waiting_reason=FailureReason.QUOTA if is_quota else FailureReason.BACKEND,
        )

    def _end_open(
        self, job: _Job, why: str, *, canceled: bool = False, retryable: bool = True
    ) -> Iterator[TaskUpdate]:
        for task_id in sorted(job.open):
            update = TaskUpdate(
                task_id=task_id,
                attempt=job.attempt,
                state=TaskState.CANCELED if canceled else _FAILED,
                reason=None if canceled else FailureReason.BACKEND,
                detail=why,
                retryable=retryable,
            )
            job.reported[task_id] = update
            yield update
        job.open.clear()
        job.waiting.clear()

    def _look(self, found: Mapping[str, BatchJob]) -> None:
        """Look at what no task tells: how the jobs are, and why nothing runs."""
        disabled: list[str] = []
        for job in self._jobs.values():
            seen = found.get(job.id)
            if seen is None or not job.open:
                continue
            state = lowered(seen.state)
            if state == "deleting":
                self._news += self._end_open(job, f"the job {job.id} was deleted")
            elif state == "completed":
                self._list(job, None)
                self._news += self._leftovers(job, seen)
            elif state in {"disabling", "disabled"}:
                disabled.append(
                    f"the job {job.id} is disabled; `az batch job enable --job-id {job.id}`"
                )
        if any(job.open for job in self._jobs.values()):
            self._look_at_pool(disabled)

    def _leftovers(self, job: _Job, seen: BatchJob) -> Iterator[TaskUpdate]:
        """End what a completed job still has waiting: Batch never starts it."""
        reason = end_reason(seen)
        yield from self._end_open(
            job,
            f"the job {job.id} was ended ({reason}) before the task ran",
            canceled=reason == CANCELED,
        )

    def _look_at_pool(self, disabled: list[str]) -> None:
        found = self._ask_condition()
        if found.is_gone:
            self._end_without_pool(found.text)
            return
        waiting = [job for job in self._jobs.values() if job.waiting]
        if not waiting or any(job.open - job.waiting.keys() for job in self._jobs.values()):
            return
        text = "; ".join([*disabled, *([found.text] if found.text else [])])
        news = text != self._condition.text
        if text and news:
            self._run.notify(f"tasks are waiting: {text}")
        self._condition = Condition(text, found.is_quota)
        for job in waiting:
            if news:
                self._news += self._waiting(job)
            self._stop_overdue(job)

    def _end_without_pool(self, why: str) -> None:
        """End what waits for a pool that is gone; the service itself lets it wait for ever."""
        for job in self._jobs.values():
            if job.open:
                self._known.terminate(job.id, NO_POOL)
                self._news += self._end_open(job, why, retryable=False)

    def _waiting(self, job: _Job) -> Iterator[TaskUpdate]:
        """Say of each waiting task, so that it is in the record, why it waits."""
        for task_id in job.waiting:
            yield TaskUpdate(
                task_id=task_id,
                attempt=job.attempt,
                state=_QUEUED,
                detail=self._condition.text,
            )

    def _stop_overdue(self, job: _Job) -> None:
        """Stop what has waited longer than its signed URLs allow for; its end is seen later."""
        now = self._clock.now()
        if now - min(job.waiting.values()) < self._settings.queue_seconds:
            return
        with azure_errors(f"reading the tasks of the job {job.id}"):
            overdue = [
                task.id or ""
                for task in self._account.batch.list_tasks(
                    job.id, filter="state eq 'active'", select=_SELECTED, max_results=_PAGE
                )
                if (planned := self._planned(task))
                and has_waited_too_long(task, now, self._bounds(planned))
            ]
        stop_tasks(self._account, job.id, overdue)


def _filter(since: datetime | None) -> str | None:
    """Return the filter for changes; what still waits is none."""
    if since is None:
        return None
    moment = (since - OVERLAP).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return f"state ne 'active' and stateTransitionTime ge DateTime'{moment}'"


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one or other
    return max(one, other)
