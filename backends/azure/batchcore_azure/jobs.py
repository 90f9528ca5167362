"""The jobs of a run: created, recognised as its own, sealed and deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from azure.batch.models import (  # noqa: TID253 - only loaded once the backend is used
    BatchJob,
    BatchJobCreateOptions,
    BatchJobUpdateOptions,
    BatchMetadataItem,
    BatchPool,
)
from azure.core.exceptions import (  # noqa: TID253 - as above
    ResourceExistsError,
    ResourceNotFoundError,
)
from msgspec import Struct

from batchcore import __version__, crash
from batchcore.backend import RunContext
from batchcore.errors import BackendError, BatchcoreError, Conflict
from batchcore_azure import names
from batchcore_azure.auth import Account
from batchcore_azure.calls import send, unless
from batchcore_azure.errors import azure_errors, code
from batchcore_azure.outcome import lowered
from batchcore_azure.translate import job_body

CANCELED = "BatchcoreCanceled"
"""The reason given for the end of a job whose tasks were all canceled."""

NO_POOL = "BatchcoreNoPool"
"""The reason given for the end of a job whose pool was deleted: a new one would start it again."""

_SELECTED = ["id", "state", "metadata", "executionInfo", "poolInfo"]
_ENDED = frozenset({"terminating", "completed"})
_DONE = frozenset({"JobCompleted", "JobBeingTerminated", "JobBeingDeleted", "JobNotFound"})
_PAGE = 1_000


class KnownJob(Struct, frozen=True):
    """A job of a run; `may_hold_tasks` that earlier calls have put in."""

    id: str
    is_open: bool
    may_hold_tasks: bool


class Jobs:
    """The jobs of runs; remembers those that it has seen open."""

    def __init__(self, account: Account, pool_of: Callable[[str], str]) -> None:
        """Take the account; `pool_of` gives the id of a run's pool."""
        self._account = account
        self._pool_of = pool_of
        self._open: set[str] = set()

    def ensure(self, run: RunContext, attempt: int, part: int) -> KnownJob:
        """Return a job, made now where there is none.

        Raises `Conflict` where its id belongs to something else, and `BackendError`, transient
        while an earlier one of the name is still being deleted.
        """
        job_id = names.job_id(run.run_id, attempt, part)
        if job_id in self._open:
            return KnownJob(job_id, is_open=True, may_hold_tasks=False)
        with azure_errors(f"looking for the job {job_id}"):
            job = self._get(job_id)
            if job is None and self._create(run, job_id):
                self._open.add(job_id)
                return KnownJob(job_id, is_open=True, may_hold_tasks=False)
            job = job or self._account.batch.get_job(job_id, select=_SELECTED)
        _check_ours(job, run)
        state = lowered(job.state)
        if state == "deleting":
            raise BackendError(
                f"the job {job_id} is still being deleted",
                hint="the same command goes on in a minute",
                transient=True,
            )
        if state not in _ENDED:
            self._open.add(job_id)
        return KnownJob(job_id, is_open=state not in _ENDED, may_hold_tasks=True)

    def forget(self, job_id: str) -> None:
        """Look at a job again the next time."""
        self._open.discard(job_id)

    def specs(self, job_id: str) -> dict[str, str]:
        """Return the spec hash of every task in a job, by its id in lower case."""
        with azure_errors(f"reading the tasks of the job {job_id}"):
            tasks = self._account.batch.list_tasks(
                job_id, select=["id", "displayName"], max_results=_PAGE
            )
            return {(task.id or "").lower(): task.display_name or "" for task in tasks}

    def of(self, run_id: str) -> Iterator[BatchJob]:
        """Yield the jobs that carry this run's id; others whose names begin so are left out."""
        prefix = names.job_prefix(run_id)
        with azure_errors("listing jobs"):
            for job in self._account.batch.list_jobs(
                filter=f"startswith(id,'{prefix}')", select=_SELECTED, max_results=_PAGE
            ):
                if is_ours(job, run_id):
                    yield job

    def seal(self, job_id: str, *, hurry: bool = False) -> None:
        """Let a job end by itself once all of its tasks have; it takes tasks until then.

        In a `hurry` it is tried once.
        """
        options = BatchJobUpdateOptions({"onAllTasksComplete": "terminatejob"})
        tries: dict[str, Any] = {"retry_total": 0} if hurry else {}
        with azure_errors(f"completing the job {job_id}"):
            unless(_DONE, lambda: self._account.batch.update_job(job_id, options, **tries))
        crash.reach("azure.sealed")
        self._open.discard(job_id)

    def seal_all(self) -> None:
        """Seal every job that this process has used, as well as it can be done in a hurry."""
        for job_id in sorted(self._open):
            with suppress(BatchcoreError):
                self.seal(job_id, hurry=True)
        self._open.clear()

    def terminate(self, job_id: str, reason: str) -> None:
        """End a job and what runs in it; nothing happens to one that has ended."""
        with azure_errors(f"ending the job {job_id}"):
            client, body = self._account.batch, {"terminateReason": reason}
            unless(_DONE, lambda: send(client, "POST", f"/jobs/{job_id}/terminate", body))
        self._open.discard(job_id)

    def delete(self, job_id: str) -> None:
        """Delete a job with its tasks; what runs is stopped."""
        with azure_errors(f"deleting the job {job_id}"):
            unless(_DONE, lambda: send(self._account.batch, "DELETE", f"/jobs/{job_id}"))
        self._open.discard(job_id)

    def _get(self, job_id: str) -> BatchJob | None:
        with suppress(ResourceNotFoundError):
            return self._account.batch.get_job(job_id, select=_SELECTED)
        return None

    def _create(self, run: RunContext, job_id: str) -> bool:
        """Return whether the job is new; one that is there may be that of a call without answer."""
        metadata = names.job_metadata(run.run_id, run.plan.spec_hash, __version__)
        body = job_body(job_id, self._pool_of(run.run_id), metadata)
        try:
            self._account.batch.create_job(BatchJobCreateOptions(body))
        except ResourceExistsError as exc:
            if code(exc) != "JobExists":
                raise
            return False
        crash.reach("azure.job_made")
        return True


def is_ours(thing: BatchJob | BatchPool, run_id: str) -> bool:
    """Return whether a job or a pool says that it belongs to this run."""
    return names.is_ours(metadata_of(thing.metadata), run_id)


def metadata_of(items: Iterable[BatchMetadataItem] | None) -> dict[str, str]:
    """Return metadata as a table."""
    return {item.name: item.value for item in items or ()}


def end_reason(job: BatchJob) -> str:
    """Return why the service says that a job has ended, empty where it does not say."""
    return str((job.execution_info and job.execution_info.termination_reason) or "")


def _check_ours(job: BatchJob, run: RunContext) -> None:
    metadata = metadata_of(job.metadata)
    if is_ours(job, run.run_id) and metadata.get(names.SPEC) == run.plan.spec_hash:
        return
    owner = metadata.get(names.RUN)
    whose = f"run {owner!r} with other tasks" if owner else "somebody else"
    raise Conflict(
        f"the Batch account has a job {job.id!r} of {whose}",
        hint=f"start a new run: add --fresh; or look at it: `az batch job show --job-id {job.id}`",
        code="BC9001",
    )
