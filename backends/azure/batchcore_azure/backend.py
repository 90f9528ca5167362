"""`azure` put together: the contract of a backend, on Azure Batch and Azure Blob Storage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from fsspec.spec import AbstractFileSystem
from msgspec.structs import replace

from batchcore import crash
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
from batchcore.clock import Clock, SystemClock
from batchcore.plan import Plan
from batchcore_azure import translate
from batchcore_azure.auth import Account
from batchcore_azure.cancel import cancel_tasks
from batchcore_azure.check import check_plan
from batchcore_azure.explain import Explainer
from batchcore_azure.jobs import Jobs
from batchcore_azure.logs import read_log
from batchcore_azure.pool import PoolFacts, Pools
from batchcore_azure.redaction import Redaction
from batchcore_azure.release import Leftover, leftovers
from batchcore_azure.settings import AzureSettings
from batchcore_azure.storage import Storage
from batchcore_azure.tasks import Tasks
from batchcore_azure.watch import Watch


class AzureBackend(Backend):
    """Tasks in containers on the machines of an Azure Batch pool.

    What it remembers of a run only spares questions: any other process that has the run's context
    can go on. It starts no thread that outlives a call.
    """

    def __init__(
        self,
        settings: AzureSettings,
        account: Account | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Send nothing yet. Raises `SettingsError` for an account that is not named whole."""
        self._settings = settings
        self._account = account or Account(settings)
        self._clock = clock or SystemClock()
        self._redaction = Redaction(self._account.known_secrets)
        self._redaction.start()
        self._storage = Storage(settings, self._account, self._clock)
        self._pools = Pools(self._account, settings)
        self._jobs = Jobs(self._account, self._pools.id_of)
        self._tasks = Tasks(self._account, self._jobs, self._clock.sleep)
        self._ready: dict[str, PoolFacts] = {}
        self._watches: dict[str, Watch] = {}
        self._placed: dict[str, set[str]] = {}

    def check(self, plan: Plan) -> Check:
        """Look at the plan, then ask Azure; creates nothing."""
        return check_plan(plan, self._settings, self._account)

    def store(self, run: RunContext) -> str:
        """Return the run's prefix in the container for resources, made where there is none."""
        return self._storage.store(run)

    def filesystem(self, url: str) -> tuple[AbstractFileSystem, str]:
        """Return the file system of the storage account, with its credential and no other."""
        return self._storage.filesystem(url)

    def submit(self, run: RunContext, tasks: Sequence[TaskSubmission]) -> None:
        """Put the attempts into the run's jobs, in a pool that is made where there is none.

        Once all of the plan's tasks are in its first job, that ends by itself with the last.
        """
        if run.run_id not in self._ready:
            self._ready[run.run_id] = self._pools.ensure(run)
        for attempt in sorted({submission.attempt for submission in tasks}):
            self._place(run, attempt, [s for s in tasks if s.attempt == attempt])

    def poll(self, run: RunContext, cursor: str, wait: float) -> Snapshot:  # noqa: ARG002 - the contract's
        """Ask once for the changes in each job that has open tasks; never waits."""
        return self._watch(run).poll(cursor)

    def read_log(
        self, run: RunContext, attempt: TaskSubmission, stream: Stream, offset: int
    ) -> LogChunk:
        """Read from the machine while the task runs, from the storage afterwards."""
        return read_log(self._account, self._storage, run, attempt, stream, offset)

    def cancel(self, run: RunContext, task_ids: Sequence[str]) -> None:
        """Stop the tasks; Batch itself sends TERM, and KILL after a time of its own."""
        cancel_tasks(self._account, self._jobs, run.run_id, task_ids)
        self._watch(run).look_soon()

    def outputs(self, run: RunContext, attempt: TaskSubmission) -> TaskFiles:
        """Return the prefix that the attempt's files were uploaded to."""
        return self._storage.outputs(run, attempt)

    def release(self, run: RunContext, *, dry_run: bool) -> Sequence[str]:
        """Delete the run's jobs, what it has in storage, and the pool that it has made."""
        found = list(self._leftovers(run))
        if not dry_run:
            _delete(found)
            self._forget(run.run_id)
        return [leftover.line for leftover in found]

    def settle(self, run: RunContext) -> None:
        """Delete what the options ask for; the rest stays on Azure until it is released."""
        found = list(self._leftovers(run))
        _delete(leftover for leftover in found if leftover.when_done)
        staying = [leftover.line for leftover in found if not leftover.when_done]
        if staying:
            run.notify(
                f"these stay on Azure: {', '.join(staying)}; "
                f"`batchcore clean {run.directory}` deletes them"
            )
        self._forget(run.run_id)

    def explain(
        self, run: RunContext, attempts: Sequence[TaskSubmission]
    ) -> Mapping[str, Sequence[str]]:
        """Ask how the pool, its machines, the jobs and these tasks are."""
        return Explainer(run, self._account, self._jobs, self._pools).explain(attempts)

    def close(self) -> None:
        """Let go of the connections; the jobs end by themselves with the last of their tasks."""
        self._jobs.seal_all()
        self._storage.close()
        self._account.close()
        self._redaction.stop()

    def _place(self, run: RunContext, attempt: int, wanted: Sequence[TaskSubmission]) -> None:
        settings = self._effective(run)
        places = cache(lambda limit: self._storage.places(run, limit))

        def body(submission: TaskSubmission) -> dict[str, Any]:
            limit = translate.time_limit(submission.task, settings)
            return translate.task_body(run.run_id, submission, settings, places(limit))

        placed, rejected = self._tasks.place(run, attempt, wanted, body)
        self._watch(run).expect(attempt, placed)
        self._watch(run).refuse(attempt, rejected)
        if attempt == 1:
            self._seal_when_all_are_in(run, [*placed, *rejected], set(placed.values()))

    def _seal_when_all_are_in(
        self, run: RunContext, task_ids: Iterable[str], jobs: Iterable[str]
    ) -> None:
        known = self._placed.setdefault(run.run_id, set())
        known.update(task_ids)
        if len(known) == len(run.plan.tasks):
            for job in jobs:
                self._jobs.seal(job)

    def _effective(self, run: RunContext) -> AzureSettings:
        """Return the settings with the slots that the pool really has."""
        return replace(self._settings, slots_per_node=self._ready[run.run_id].slots_per_node)

    def _watch(self, run: RunContext) -> Watch:
        if run.run_id not in self._watches:
            pool = self._pools.id_of(run.run_id)
            self._watches[run.run_id] = Watch(
                run,
                self._account,
                self._jobs,
                settings=self._settings,
                condition=lambda: self._pools.condition(pool),
                clock=self._clock,
            )
        return self._watches[run.run_id]

    def _leftovers(self, run: RunContext) -> Iterator[Leftover]:
        return leftovers(run, self._settings, self._jobs, self._pools, self._storage)

    def _forget(self, run_id: str) -> None:
        for known in (self._ready, self._watches, self._placed):
            known.pop(run_id, None)


def _delete(found: Iterable[Leftover]) -> None:
    for leftover in found:
        leftover.delete()
        crash.reach("azure.deleted")


def create(settings: AzureSettings) -> AzureBackend:
    """Return the backend; Azure is first asked when something is wanted of it."""
    return AzureBackend(settings)
