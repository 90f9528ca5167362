"""Stopping tasks, with few requests and without harm to those that have ended."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from batchcore_azure.auth import Account
from batchcore_azure.calls import unless
from batchcore_azure.errors import azure_errors
from batchcore_azure.jobs import CANCELED, Jobs

AT_ONCE = 8
_WORTH_A_JOB = 20
_ENDED = frozenset({"TaskCompleted", "TaskNotFound", "JobCompleted", "JobNotFound"})


def cancel_tasks(account: Account, jobs: Jobs, run_id: str, task_ids: Collection[str]) -> None:
    """Stop these tasks of a run, whichever of its jobs they are in.

    Where they are all that a job has left, and many, the job itself is ended. Returns when the
    service has accepted it. Raises `BackendError`, transient where it did not answer.
    """
    wanted = {task_id.lower() for task_id in task_ids}
    for job in list(jobs.of(run_id)):
        job_id = job.id or ""
        left = _unfinished(account, job_id)
        stopping = [task_id for task_id in left if task_id.lower() in wanted]
        if len(stopping) == len(left) >= _WORTH_A_JOB:
            jobs.terminate(job_id, CANCELED)
        else:
            stop_tasks(account, job_id, stopping)


def stop_tasks(account: Account, job_id: str, task_ids: Collection[str]) -> None:
    """Stop tasks of one job, several at once; nothing happens to one that has ended."""
    if not task_ids:
        return
    client = account.batch

    def stop(task_id: str) -> None:
        unless(_ENDED, lambda: client.terminate_task(job_id, task_id))

    with (
        azure_errors(f"stopping tasks of the job {job_id}"),
        ThreadPoolExecutor(AT_ONCE, "cancel") as pool,
    ):
        list(pool.map(stop, task_ids))


def _unfinished(account: Account, job_id: str) -> list[str]:
    listed: list[str] = []

    def read() -> None:
        tasks = account.batch.list_tasks(
            job_id, filter="state ne 'completed'", select=["id"], max_results=1_000
        )
        listed.extend(task.id or "" for task in tasks)

    with azure_errors(f"reading the tasks of the job {job_id}"):
        unless({"JobNotFound"}, read)
    return listed
