"""Deleting what a run has made on Azure, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from batchcore.backend import RunContext
from batchcore_azure.jobs import Jobs, is_ours
from batchcore_azure.pool import Pools
from batchcore_azure.settings import AzureSettings
from batchcore_azure.storage import Storage


class Leftover(NamedTuple):
    """One thing that a run left: the line that names it, the option and the call to delete it.

    `when_done` says whether the settings ask for its deletion after a full success.
    """

    line: str
    when_done: bool
    delete: Callable[[], None]


def leftovers(
    run: RunContext, settings: AzureSettings, jobs: Jobs, pools: Pools, storage: Storage
) -> Iterator[Leftover]:
    """Yield what a run left, in the order in which it is safe to delete.

    The jobs come first, so that nothing writes any more; they are known by the run's id in their
    metadata. Then what the run has in storage, and the pool that it has made. A pool that has a
    name of the user's goes only with `delete_pool_when_done`: other runs may use it by now.
    """
    for job in sorted(job.id or "" for job in jobs.of(run.run_id)):
        done = settings.delete_job_when_done
        yield Leftover(f"Batch job {job}", done, partial(jobs.delete, job))
    for line, delete in storage.leftovers(run):
        yield Leftover(line, settings.delete_container_when_done, delete)
    pool = pools.get(pools.id_of(run.run_id))
    if pool is None or not is_ours(pool, run.run_id):
        return
    done = settings.delete_pool_when_done
    if done or not settings.pool:
        yield Leftover(f"Batch pool {pool.id}", done, partial(pools.delete, pool.id or ""))
