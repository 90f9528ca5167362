"""Why attempts have not ended, as Batch tells it now: pool, machines, jobs and tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from azure.batch.models import (  # noqa: TID253 - only loaded once the backend is used
    BatchJob,
    BatchNodeCounts,
    BatchPool,
    BatchTask,
)
from azure.core.exceptions import ResourceNotFoundError  # noqa: TID253 - as above

from batchcore.backend import RunContext, TaskSubmission
from batchcore_azure import names
from batchcore_azure.auth import Account
from batchcore_azure.errors import azure_errors
from batchcore_azure.jobs import Jobs, end_reason
from batchcore_azure.outcome import SELECTED, lowered, requeues_of, said, state_of
from batchcore_azure.pool import WATCHED, Pools

_NODE_STATES = {
    "idle": "idle",
    "running": "running tasks",
    "creating": "being made",
    "starting": "starting",
    "waiting_for_start_task": "in the start task",
    "start_task_failed": "failed in the start task",
    "unusable": "unusable",
    "offline": "offline",
    "unknown": "not answering Batch",
    "preempted": "taken away",
    "rebooting": "rebooting",
    "reimaging": "being reimaged",
    "leaving_pool": "leaving the pool",
}
_TASK_STATES = {
    "active": "Batch has it waiting for a free slot of a machine",
    "preparing": "a machine has it, and waits for the job's preparation",
    "running": "a machine has it: Batch brings its files and image, or runs it",
    "completed": "it has ended, and its results have not been collected yet",
}


class Explainer:
    """Asks an account about one run, a few times for all of it and once for each task."""

    def __init__(self, run: RunContext, account: Account, jobs: Jobs, pools: Pools) -> None:
        """Take what it asks; nothing is asked yet."""
        self._run = run
        self._batch = account.batch
        self._jobs = jobs
        self._pools = pools

    def explain(self, attempts: Sequence[TaskSubmission]) -> Mapping[str, Sequence[str]]:
        """Return lines for each attempt by its task's id, and for all of them under ``""``.

        Raises `BackendError`, transient where the service did not answer.
        """
        jobs = list(self._jobs.of(self._run.run_id))
        told = {"": [*self._pool(), *filter(None, map(_job_line, jobs))]}
        for attempt in attempts:
            told[attempt.task.id] = list(self._task(attempt, jobs))
        return told

    def _pool(self) -> Iterator[str]:
        pool_id = self._pools.id_of(self._run.run_id)
        condition = self._pools.condition(pool_id)
        if not condition.is_gone:
            with azure_errors(f"looking at the pool {pool_id}"):
                pool = self._batch.get_pool(pool_id, select=WATCHED)
                counts = list(self._batch.list_pool_node_counts(filter=f"poolId eq '{pool_id}'"))
            machines = [kind for found in counts for kind in (found.dedicated, found.low_priority)]
            yield _pool_line(pool, [kind for kind in machines if kind is not None])
        if condition.text:
            yield condition.text
        if condition.is_quota:
            yield "ask for a higher quota of the account, or choose another vm_size or fewer nodes"

    def _task(self, attempt: TaskSubmission, jobs: Sequence[BatchJob]) -> Iterator[str]:
        for job in jobs:
            place = names.job_of_attempt(self._run.run_id, job.id or "")
            if place is None or place[0] != attempt.attempt:
                continue
            with azure_errors(f"looking at the task {attempt.task.id}"):
                try:
                    task = self._batch.get_task(
                        job.id or "", attempt.task.id, select=list(SELECTED)
                    )
                except ResourceNotFoundError:
                    continue
            yield from _task_lines(task)
            return
        yield "Batch does not have it: it has not arrived yet, or its job was deleted"


def _pool_line(pool: BatchPool, machines: Sequence[BatchNodeCounts]) -> str:
    found: Counter[str] = Counter()
    for kind in machines:
        found.update({name: getattr(kind, name, None) or 0 for name in _NODE_STATES})
    states = [f"{found[name]} {words}" for name, words in _NODE_STATES.items() if found[name]]
    wanted = (pool.target_dedicated_nodes or 0) + (pool.target_low_priority_nodes or 0)
    return (
        f"the pool {pool.id} is {lowered(pool.state)}, its size {lowered(pool.allocation_state)}; "
        f"wanted machines: {wanted}; there are: {', '.join(states) or 'none'}"
    )


def _job_line(job: BatchJob) -> str:
    """Return what is unusual about a job, empty where nothing is."""
    state = lowered(job.state)
    if state == "active":
        return ""
    if state in {"disabling", "disabled"}:
        return f"the job {job.id} is disabled; `az batch job enable --job-id {job.id}`"
    reason = end_reason(job)
    return f"the job {job.id} is {state}" + (f" ({reason})" if reason else "")


def _task_lines(task: BatchTask) -> Iterator[str]:
    yield _TASK_STATES.get(state_of(task), f"Batch says that it is {state_of(task)}")
    if requeues_of(task):
        yield f"Batch has started it again after it lost its machine; so far: {requeues_of(task)}"
    failure = task.execution_info.failure_info if task.execution_info else None
    if failure is not None:
        yield f"Batch says: {failure.code}: {said(failure)}"
