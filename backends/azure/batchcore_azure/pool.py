"""The pool of a run: an existing one, or its own; and why its machines take no tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice

from azure.batch.models import (  # noqa: TID253 - only loaded once the backend is used
    BatchNode,
    BatchPool,
    BatchPoolCreateOptions,
    BatchPoolEvaluateAutoScaleOptions,
)
from azure.core.exceptions import (  # noqa: TID253 - as above
    ResourceExistsError,
    ResourceNotFoundError,
)
from msgspec import Struct

from batchcore import __version__, crash
from batchcore.backend import RunContext
from batchcore.errors import BackendError, Conflict, EnvironmentNotReady
from batchcore_azure import images, names, translate
from batchcore_azure.auth import Account
from batchcore_azure.calls import send, unless
from batchcore_azure.errors import azure_errors, code
from batchcore_azure.jobs import is_ours
from batchcore_azure.outcome import lowered
from batchcore_azure.redaction import redact
from batchcore_azure.settings import AzureSettings

_SELECTED = ["id", "state", "metadata", "virtualMachineConfiguration", "taskSlotsPerNode"]
WATCHED = [
    "id",
    "state",
    "allocationState",
    "resizeErrors",
    "enableAutoScale",
    "autoScaleRun",
    "targetDedicatedNodes",
    "targetLowPriorityNodes",
    "currentDedicatedNodes",
    "currentLowPriorityNodes",
]
"""The properties of a pool that tell whether it takes tasks."""
_BAD_NODES = {
    "starttaskfailed": "failed in the start task",
    "unusable": "unusable",
    "offline": "offline",
    "unknown": "not answering Batch",
}
_MOST_NODES = 1_000
_DELETED = frozenset({"PoolNotFound", "PoolBeingDeleted"})


class PoolFacts(Struct, frozen=True):
    """A pool that takes the run's tasks, and the slots that are used of each machine."""

    id: str
    slots_per_node: int


class Condition(Struct, frozen=True):
    """Why the pool's machines take no tasks, empty where nothing is known to be wrong."""

    text: str = ""
    is_quota: bool = False
    is_gone: bool = False


class Pools:
    """Finds, makes and watches pools."""

    def __init__(self, account: Account, settings: AzureSettings) -> None:
        """Take the account and what a new pool shall be like."""
        self._account = account
        self._settings = settings

    def id_of(self, run_id: str) -> str:
        """Return the id of the run's pool, which need not exist."""
        return self._settings.pool or names.pool_id(run_id)

    def ensure(self, run: RunContext) -> PoolFacts:
        """Return the run's pool, made now where there is none; waits for no machine.

        Raises `EnvironmentNotReady` where the pool runs no containers or cannot scale, `Conflict`
        where another run's has the name, and `BackendError`.
        """
        pool_id = self.id_of(run.run_id)
        with azure_errors(f"looking for the pool {pool_id}"):
            pool = self.get(pool_id)
            if pool is None:
                self._create(run, pool_id)
                pool = self._account.batch.get_pool(pool_id, select=_SELECTED)
        own = is_ours(pool, run.run_id)
        if not own and self._settings.pool is None:
            raise Conflict(
                f"the Batch account has a pool {pool_id!r} that is not this run's",
                hint="start a new run: add --fresh; or use that pool: add --set pool=" + pool_id,
                code="BC9001",
            )
        _check_usable(pool)
        if own and self._settings.autoscale:
            self._check_formula(pool_id)
        slots = min(pool.task_slots_per_node or 1, self._settings.slots_per_node)
        return PoolFacts(pool_id, slots)

    def get(self, pool_id: str) -> BatchPool | None:
        """Return a pool as Batch describes it, None where there is none."""
        with azure_errors(f"looking for the pool {pool_id}"), suppress(ResourceNotFoundError):
            return self._account.batch.get_pool(pool_id, select=_SELECTED)
        return None

    def delete(self, pool_id: str) -> None:
        """Delete a pool; nothing happens to one that is gone."""
        with azure_errors(f"deleting the pool {pool_id}"):
            unless(_DELETED, lambda: send(self._account.batch, "DELETE", f"/pools/{pool_id}"))

    def condition(self, pool_id: str) -> Condition:
        """Return why tasks may be waiting; two calls of the service."""
        with azure_errors(f"looking at the pool {pool_id}"):
            try:
                pool = self._account.batch.get_pool(pool_id, select=WATCHED)
                nodes = self._account.batch.list_nodes(
                    pool_id,
                    filter=" or ".join(f"state eq '{state}'" for state in _BAD_NODES),
                    select=["id", "state", "errors", "startTaskInfo"],
                )
                return condition_of(pool, list(islice(nodes, _MOST_NODES)))
            except ResourceNotFoundError:
                return Condition(f"the pool {pool_id} does not exist any more", is_gone=True)

    def _create(self, run: RunContext, pool_id: str) -> None:
        client, settings = self._account.batch, self._settings
        image = images.choose(client.list_supported_images(), settings.image)
        metadata = {names.RUN: run.run_id, names.VERSION: __version__}
        body = translate.pool_body(
            pool_id,
            settings,
            image,
            (task.image for task in run.plan.tasks if task.image),
            metadata=metadata,
            registry_password=self._account.credentials.registry_password,
        )
        try:
            client.create_pool(BatchPoolCreateOptions(body))
        except ResourceExistsError as exc:
            if code(exc) != "PoolExists":
                raise
        else:
            crash.reach("azure.pool_made")
            run.notify(f"created the pool {pool_id} of {settings.vm_size} with {image.name}")

    def _check_formula(self, pool_id: str) -> None:
        options = BatchPoolEvaluateAutoScaleOptions(
            auto_scale_formula=translate.autoscale_formula(self._settings)
        )
        with azure_errors(f"evaluating the autoscale formula of the pool {pool_id}"):
            run = self._account.batch.evaluate_pool_auto_scale(pool_id, options)
        if run.error is not None:
            raise EnvironmentNotReady(
                f"Batch cannot evaluate the autoscale formula of the pool {pool_id}: "
                + _words(run.error.code, run.error.message),
                hint="add --set autoscale=false",
            )


def condition_of(pool: BatchPool, nodes: Iterable[BatchNode]) -> Condition:
    """Return why a pool's machines take no tasks; `nodes` are the bad ones alone."""
    found = [*_pool_faults(pool), *_node_faults(nodes)]
    codes = [lowered(error.code) for error in pool.resize_errors or ()]
    return Condition("; ".join(found), any("quota" in word for word in codes))


def _pool_faults(pool: BatchPool) -> Iterator[str]:
    if lowered(pool.state) == "deleting":
        yield f"the pool {pool.id} is being deleted"
    for error in pool.resize_errors or ():
        yield f"the pool {pool.id} cannot grow: {_words(error.code, error.message)}"
    run = pool.auto_scale_run
    if run is not None and run.error is not None:
        yield f"the pool {pool.id} cannot scale: {_words(run.error.code, run.error.message)}"
    if not pool.enable_auto_scale and not machine_count(pool):
        yield (
            f"the pool {pool.id} has no machines and asks for none; "
            f"`az batch pool resize --pool-id {pool.id} --target-dedicated-nodes 1` adds one"
        )


def machine_count(pool: BatchPool) -> int:
    """Return how many machines a pool has and how many it asks for, added up."""
    return sum(
        count or 0
        for count in (
            pool.target_dedicated_nodes,
            pool.target_low_priority_nodes,
            pool.current_dedicated_nodes,
            pool.current_low_priority_nodes,
        )
    )


def _node_faults(nodes: Iterable[BatchNode]) -> Iterator[str]:
    """Yield one sentence for each kind of bad machine, with the reason of the first."""
    kinds: dict[str, list[BatchNode]] = {}
    for node in nodes:
        kinds.setdefault(lowered(node.state), []).append(node)
    for state, bad in kinds.items():
        count = "1 machine" if len(bad) == 1 else f"{len(bad)} machines"
        why = _node_reason(bad[0])
        yield f"{count} {_BAD_NODES.get(state, state)} ({bad[0].id})" + (f": {why}" if why else "")


def _node_reason(node: BatchNode) -> str:
    for error in node.errors or ():
        return _words(error.code, error.message)
    info = node.start_task_info
    if info is None:
        return ""
    if info.failure_info is not None:
        return _words(info.failure_info.code, info.failure_info.message)
    return f"exit code {info.exit_code}" if info.exit_code is not None else ""


def _words(name: object, message: str | None) -> str:
    text = ": ".join(part for part in (str(name or ""), message or "") if part)
    return redact(" ".join(text.split()))


def _check_usable(pool: BatchPool) -> None:
    if lowered(pool.state) == "deleting":
        raise BackendError(
            f"the pool {pool.id} is still being deleted",
            hint="the same command goes on when it is gone",
            transient=True,
        )
    machine = pool.virtual_machine_configuration
    if machine is None or machine.container_configuration is None:
        raise EnvironmentNotReady(
            f"the pool {pool.id} does not run containers: it has no container configuration",
            hint="name another pool, or leave pool out and one is made",
        )
