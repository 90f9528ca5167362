"""What Azure says of the account, the pool and the container. Asks, and creates nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from azure.batch.models import (  # noqa: TID253 - only loaded once the backend is used
    BatchPool,
    BatchSupportedImage,
)
from azure.core.exceptions import (  # noqa: TID253 - as above
    ResourceNotFoundError,
)

from batchcore.errors import Problem
from batchcore.plan import Plan
from batchcore_azure import images, offline
from batchcore_azure.auth import Account
from batchcore_azure.errors import CODES, azure_errors
from batchcore_azure.outcome import lowered
from batchcore_azure.pool import machine_count
from batchcore_azure.settings import AzureSettings

_SELECT = (
    "id",
    "state",
    "vmSize",
    "taskSlotsPerNode",
    "virtualMachineConfiguration",
    "resizeErrors",
    "currentDedicatedNodes",
    "currentLowPriorityNodes",
    "targetDedicatedNodes",
    "targetLowPriorityNodes",
    "enableAutoScale",
)


class Note(NamedTuple):
    """Something to know; `fix` is what can be done about it, empty where all is as it should be."""

    text: str
    fix: str = ""


class Answers:
    """What was asked and answered: `problems` stop the run, `notes` do not.

    `pool` is the existing one that the settings name.
    """

    def __init__(self) -> None:
        """Start with nothing found."""
        self.problems: list[Problem] = []
        self.notes: list[Note] = []
        self.pool: BatchPool | None = None


def ask(plan: Plan, settings: AzureSettings, account: Account) -> Answers:
    """Ask for the pool or what a new one needs, and for the containers.

    Raises `EnvironmentNotReady` where a credential or a role is missing, or where Batch has no
    image of machines; `BackendError`, transient where Azure did not answer.
    """
    answers = ask_batch(plan, settings, account)
    _storage(account, settings)
    return answers


def ask_batch(plan: Plan, settings: AzureSettings, account: Account) -> Answers:
    """Ask Batch alone; raises the same."""
    answers = Answers()
    answers.pool = pool = _pool(account, settings)
    _image_of_machines(account, settings, pool, answers)
    if pool is not None:
        answers.problems += _existing(plan, settings, pool)
        answers.notes += _notes(settings, pool)
    elif settings.pool is not None:
        answers.problems += offline.sizes(plan, settings.vm_size, settings.slots_per_node)
        answers.notes.append(Note(f"there is no pool {settings.pool!r} yet; it will be made"))
    return answers


def _pool(account: Account, settings: AzureSettings) -> BatchPool | None:
    if settings.pool is None:
        return None
    with azure_errors(f"looking for the pool {settings.pool!r}"):
        try:
            return account.batch.get_pool(settings.pool, select=list(_SELECT))
        except ResourceNotFoundError:
            return None


def _image_of_machines(
    account: Account, settings: AzureSettings, pool: BatchPool | None, answers: Answers
) -> None:
    """Find the image of the machines, and say so where Batch soon supports it no longer."""
    with azure_errors("asking for the images of virtual machines"):
        listed = list(account.batch.list_supported_images())
    wanted = settings.image if pool is None else _image_of(pool)
    if pool is not None and (wanted is None or not _is_listed(listed, wanted)):
        return  # an image of the user's own, or one that is not listed any more
    image = images.choose(listed, wanted)
    if image.ends_soon(datetime.now(UTC)):
        told = f"Batch supports {image.name}, the image of the machines, "
        fix = "take a newer image: set image, or leave it out, and a pool that does not exist yet"
        answers.notes.append(Note(f"{told}until {image.end_of_life:%Y-%m-%d}", fix))


def _image_of(pool: BatchPool) -> str | None:
    configuration = pool.virtual_machine_configuration
    reference = configuration.image_reference if configuration else None
    if reference is None or not reference.publisher:
        return None
    return images.name_of(reference)


def _is_listed(listed: list[BatchSupportedImage], wanted: str) -> bool:
    return wanted.lower() in {images.name_of(image.image_reference).lower() for image in listed}


def _existing(plan: Plan, settings: AzureSettings, pool: BatchPool) -> Iterator[Problem]:
    configuration = pool.virtual_machine_configuration
    if lowered(pool.state) == "deleting":
        yield _problem(
            f"the pool {pool.id!r} is being deleted", "wait until it is gone, or name another pool"
        )
    elif configuration is None or configuration.container_configuration is None:
        yield _problem(
            f"the pool {pool.id!r} runs no containers",
            "name a pool whose containerConfiguration is dockerCompatible, or leave pool out",
        )
    if not (machine_count(pool) or pool.enable_auto_scale):
        yield _problem(
            f"the pool {pool.id!r} has no machines and does not grow by itself",
            f"type `az batch pool resize --pool-id {pool.id} --target-dedicated-nodes 1`",
        )
    slots = pool.task_slots_per_node or 1
    yield from offline.sizes(plan, pool.vm_size or "", min(slots, settings.slots_per_node))


def _notes(settings: AzureSettings, pool: BatchPool) -> Iterator[Note]:
    slots = pool.task_slots_per_node or 1
    if slots != settings.slots_per_node:
        yield Note(
            f"the pool {pool.id!r} has {slots} slots on a machine and slots_per_node is "
            f"{settings.slots_per_node}: set them alike, or tasks share machines otherwise",
            f"set slots_per_node = {slots}",
        )
    for error in pool.resize_errors or ():
        known = CODES.get(error.code or "")
        yield Note(
            f"the pool {pool.id!r} could not grow: {error.code}: {error.message}",
            known.hint if known else f"az batch pool show --pool-id {pool.id} --query resizeErrors",
        )


def _storage(account: Account, settings: AzureSettings) -> None:
    """Find out whether the storage account knows the caller; a missing container is made later."""
    with azure_errors(f"looking for the container {settings.container!r}"):
        account.blobs.get_container_client(settings.container).exists()
    if settings.output_container:
        with azure_errors(f"looking for the container {settings.output_container!r}"):
            account.blobs.get_container_client(settings.output_container).exists()
    ask_for_signing(account, settings)


def ask_for_signing(account: Account, settings: AzureSettings) -> None:
    """Ask for a key to sign URLs with, where they are signed and no account key is there for it."""
    if not account.can_sign and not settings.identity:
        with azure_errors("asking for a key to sign URLs with (role Storage Blob Delegator)"):
            now = datetime.now(UTC)
            account.blobs.get_user_delegation_key(now, now + timedelta(hours=1))


def _problem(reason: str, hint: str) -> Problem:
    return Problem(code="BC2400", reason=reason, hint=hint, key="backend.azure.pool")
