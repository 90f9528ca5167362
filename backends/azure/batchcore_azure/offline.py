"""What can be said of a plan without asking Azure. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from batchcore import paths
from batchcore.backend import TaskSubmission
from batchcore.errors import Problem
from batchcore.plan import Plan, PlannedTask
from batchcore.units import show_bytes, show_seconds
from batchcore_azure import lifetimes, machines, names, quoting, translate
from batchcore_azure.environment import Credentials
from batchcore_azure.settings import AzureSettings

LONGEST_BLOB = 1024
LONGEST_TASK = 180 * 86400.0  # "The maximum lifetime of a task is 180 days": Microsoft Learn
_LONGEST_RUN = "r" * 63
_ATTEMPTS = 1_000
# A signed URL is some 300 characters of host, container and signature, and of names.
_SIGNED = "https://account.blob.core.windows.net/" + "s" * 450
_PLACES = translate.Places(resource_url=lambda key: _SIGNED + key, output_container=_SIGNED)

Found = tuple[str, str, str, str]
"""Code, key below the task, reason and hint of what is wrong with one task."""


def problems(
    plan: Plan, settings: AzureSettings, credentials: Credentials, *, delegated: bool
) -> Iterator[Problem]:
    """Find what Batch cannot do, cannot be told, or would refuse only later.

    `delegated` says that URLs are signed with a key of Entra ID. What many tasks share is told
    once.
    """
    yield from _of_the_pool(settings, credentials)
    looks: tuple[Callable[[AzureSettings, PlannedTask], Found | None], ...] = (
        _image,
        _command,
        _patterns,
        _blob_names,
        _body,
        _time_limit,
        *((_lifetime,) if delegated and not settings.identity else ()),
    )
    for look in looks:
        yield from _told_once(plan, partial(look, settings))
    if settings.pool is None:
        yield from sizes(plan, settings.vm_size, settings.slots_per_node)


def sizes(plan: Plan, vm_size: str, slots_per_node: int) -> Iterator[Problem]:
    """Find tasks that no machine of this size, with so many slots, could ever run."""
    machine = machines.machine(vm_size)
    larger = "set a larger vm_size, or ask for less"

    def processors(task: PlannedTask) -> Found | None:
        wanted = task.requirements.cpus
        if machine.cpus is None or not wanted or wanted <= machine.cpus:
            return None
        reason = f"asks for {wanted:g} processors, and a {vm_size} has {machine.cpus}"
        return "BC2501", "requirements.cpus", reason, larger

    def memory(task: PlannedTask) -> Found | None:
        wanted = task.requirements.memory_bytes
        if machine.memory is None or not wanted or wanted <= machine.memory:
            return None
        asked, has = show_bytes(wanted), show_bytes(machine.memory)
        reason = f"asks for {asked} of memory, and a {vm_size} has {has}"
        return "BC2501", "requirements.memory", reason, larger

    def gpus(task: PlannedTask) -> Found | None:
        if not task.requirements.gpus or machines.has_gpus(vm_size):
            return None
        hint = 'set vm_size to one of an N family, such as "Standard_NC4as_T4_v3"'
        return "BC2501", "requirements.gpus", f"asks for GPUs, and a {vm_size} has none", hint

    def slots(task: PlannedTask) -> Found | None:
        takes = translate.slots(task.requirements, slots_per_node)
        if takes <= slots_per_node:
            return None
        hint = f"set slots_per_node = {takes}, or 1 to give each task a whole machine"
        reason = f"takes {takes} slots, and a machine has {slots_per_node}"
        return "BC2501", "requirements.cpus", reason, hint

    for look in (processors, memory, gpus, slots):
        yield from _told_once(plan, look)


def notes(plan: Plan, settings: AzureSettings) -> Iterator[str]:
    """Return what the user should know and need not change."""
    for image in images(plan):
        if "@" not in image:
            yield f"what the image {image!r} means can change; NAME@sha256:DIGEST cannot"
    if settings.container_options:
        yield f"containers get further options: {' '.join(settings.container_options)}"


def fingerprint(plan: Plan) -> Mapping[str, str]:
    """Return every image with its digest where its name has one, else with its tag.

    Nothing here can ask a registry what a tag means: only the machines of the pool sign in there.
    """
    found = {}
    for image in images(plan):
        name, _, digest = image.partition("@")
        last = name.rpartition("/")[2]
        found[image] = digest or last.partition(":")[2] or "latest"
    return found


def images(plan: Plan) -> list[str]:
    """Return the images of a plan, each once."""
    return list(dict.fromkeys(task.image for task in plan.tasks if task.image))


def _told_once(plan: Plan, look: Callable[[PlannedTask], Found | None]) -> Iterator[Problem]:
    """Yield a problem for the first task that has it, with how many more have it."""
    found = [(index, told) for index, task in enumerate(plan.tasks) if (told := look(task))]
    if not found:
        return
    index, (code, key, reason, hint) = found[0]
    more = f" (and {len(found) - 1} more tasks)" if len(found) > 1 else ""
    yield Problem(
        code=code,
        reason=f"task {plan.tasks[index].id!r} {reason}{more}",
        hint=hint,
        key=f"tasks[{index}].{key}",
    )


def _image(_settings: AzureSettings, task: PlannedTask) -> Found | None:
    if task.image:
        return None
    hint = 'give the task or the job image = "REGISTRY/NAME:TAG"'
    return "BC2202", "image", "has no image, and azure runs every task in one", hint


def _command(_settings: AzureSettings, task: PlannedTask) -> Found | None:
    reason = quoting.fault(task.command)
    hint = "put it into a file, make that a resource, and run the file"
    return ("BC2201", "command", f"has a command that {reason}", hint) if reason else None


def _patterns(_settings: AzureSettings, task: PlannedTask) -> Found | None:
    """Find ``**`` inside a name: here it is two stars, for Batch any directories."""
    for output in task.outputs:
        if any("**" in part and part != "**" for part in output.path.split("/")):
            return (
                "BC2101",
                f"outputs[{output.path}]",
                f"has the pattern {output.path!r}, where Azure Batch reads ** otherwise",
                "write * inside a name, and ** between slashes alone",
            )
    return None


def _blob_names(_settings: AzureSettings, task: PlannedTask) -> Found | None:
    for output in task.outputs:
        fixed = paths.fixed_part(output.path) if output.is_pattern else output.path
        blob = f"{names.working_prefix(_LONGEST_RUN, task.id, _ATTEMPTS)}/{fixed}"
        if len(blob) > LONGEST_BLOB:
            return (
                "BC2100",
                f"outputs[{output.path}]",
                "has an output whose path is too long for the name of a blob",
                "write the output to a shorter path",
            )
    return None


def _body(settings: AzureSettings, task: PlannedTask) -> Found | None:
    """Find tasks that one request cannot describe; most of it are the URLs of the resources."""
    submission = TaskSubmission(task, _ATTEMPTS)
    body = translate.task_body(_LONGEST_RUN, submission, settings, _PLACES)
    size = len(json.dumps(body))
    if size <= translate.MOST_BYTES:
        return None
    return (
        "BC2501",
        "resources",
        f"has {len(task.files)} resources, and their list takes {show_bytes(size)} of 1 MB",
        "pack the resources into one archive that the command unpacks",
    )


def _time_limit(settings: AzureSettings, task: PlannedTask) -> Found | None:
    limit = translate.time_limit(task, settings)
    if limit <= LONGEST_TASK:
        return None
    reason = f"may run for {show_seconds(limit)}, and Batch keeps no task longer than 180 days"
    return "BC2501", "timeout", reason, "shorten timeout, or default_time_limit where there is none"


def _lifetime(settings: AzureSettings, task: PlannedTask) -> Found | None:
    limit = translate.time_limit(task, settings)
    reason = lifetimes.fault(settings.queue_seconds, limit, delegated=True)
    hint = "shorten timeout or max_queue_time, or set identity to that of the pool"
    return ("BC2501", "timeout", f"may run so long that {reason}", hint) if reason else None


def _of_the_pool(settings: AzureSettings, credentials: Credentials) -> Iterator[Problem]:
    """Find what a pool cannot be made with."""
    if settings.registry_username and credentials.registry_password is None:
        yield _setting(
            "registry_username",
            "registry_username is set and there is no password for it",
            "export REGISTRY_PASSWORD",
        )
    if settings.pool is None and settings.identity:
        yield _setting(
            "identity",
            "a pool made here cannot have an identity: only Azure's management gives one",
            "make the pool by a template, `az deployment group create`, and set pool to its id",
        )
    if settings.pool is None and not settings.nodes + settings.spot_nodes:
        yield _setting(
            "nodes", "a pool without machines runs nothing", "set nodes or spot_nodes to 1 or more"
        )
    if settings.subnet and credentials.batch_account_key is not None:
        yield _setting(
            "subnet",
            "Batch makes a pool in a subnet for callers with Entra ID alone",
            "unset BATCH_ACCOUNT_KEY and type `az login`",
        )


def _setting(key: str, reason: str, hint: str) -> Problem:
    return Problem(code="BC2400", reason=reason, hint=hint, key=f"backend.azure.{key}")
