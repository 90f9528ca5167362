"""From an attempt to the bodies of the requests that Batch is sent. Pure.

The names of the fields are those of the REST API of Azure Batch, version 2025-06-01.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct

from batchcore import paths
from batchcore.backend import TaskSubmission
from batchcore.model import Requirements
from batchcore.plan import PlannedOutput, PlannedTask
from batchcore.plan.sources import PlannedFile
from batchcore_azure import names, quoting
from batchcore_azure.environment import Secret
from batchcore_azure.images import VmImage
from batchcore_azure.settings import AzureSettings

MOST_BYTES = 900_000
"""What one request may carry, with room below the service's limit of 1 MB."""

# What root in a container needs to be of use; never what reaches beyond the container.
ROOT_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID")

_CONDITIONS = {"success": "tasksuccess", "failure": "taskfailure", "always": "taskcompletion"}
_RETENTION = "P1D"
_SPOT = "$TargetLowPriorityNodes"
_DEDICATED = "$TargetDedicatedNodes"


class Places(Struct, frozen=True, kw_only=True):
    """Where a machine finds resources and puts what tasks write.

    `resource_url` gives the URL for a key, `output_container` is the URL of a container; both
    carry a signature unless `identity`, the resource id of the pool's identity, is given.
    """

    resource_url: Callable[[str], str]
    output_container: str
    identity: str | None = None


def task_body(
    run_id: str, submission: TaskSubmission, settings: AzureSettings, places: Places
) -> dict[str, Any]:
    """Return the task for an attempt.

    Its display name is the spec hash: tasks have no metadata to know one's own by. Batch never
    retries it by itself; it is stopped after its time limit, or the default one.
    """
    task = submission.task
    return {
        "id": task.id,
        "displayName": task.spec_hash,
        "commandLine": quoting.join(task.command),
        "containerSettings": _container(task, settings),
        "userIdentity": {"autoUser": {"scope": "task", "elevationLevel": "nonadmin"}},
        "environmentSettings": [
            {"name": name, "value": value}
            for name, value in environment(run_id, submission).items()
        ],
        "resourceFiles": [_resource(file, places) for file in task.files],
        "outputFiles": _outputs(run_id, submission, places),
        "constraints": {
            "maxWallClockTime": duration(time_limit(task, settings)),
            "retentionTime": _RETENTION,
            "maxTaskRetryCount": 0,
        },
        "requiredSlots": slots(task.requirements, settings.slots_per_node),
    }


def time_limit(task: PlannedTask, settings: AzureSettings) -> float:
    """Return the seconds after which a task is stopped; its signed URLs live no longer either."""
    return settings.limit_seconds if task.timeout is None else task.timeout


def slots(wanted: Requirements, per_node: int) -> int:
    """Return the slots of a machine that a task takes: one for each processor it asks for.

    On a machine with a single slot a task has the whole machine.
    """
    return 1 if per_node == 1 else max(1, math.ceil(wanted.cpus or 1))


def environment(run_id: str, submission: TaskSubmission) -> dict[str, str]:
    """Return the worker's variables; Batch itself adds those that begin with ``AZ_BATCH_``.

    `HOME` is not the working directory, as on this machine's backends: its path depends on the
    size of the machine, and nothing between here and the worker would expand a variable.
    """
    return {
        "HOME": "/tmp",  # noqa: S108 - in the task's container, which is its alone
        "USER": "worker",
        "LOGNAME": "worker",
        "BATCHCORE_RUN_ID": run_id,
        "BATCHCORE_TASK_ID": submission.task.id,
        "BATCHCORE_ATTEMPT": str(submission.attempt),
        **submission.task.env,
    }


def run_options(task: PlannedTask, settings: AzureSettings) -> str:
    """Return the options of ``docker create`` for a task's container."""
    options = [
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--init",
        f"--pids-limit={settings.pids_limit}",
    ]
    wanted = task.requirements
    if wanted.memory_bytes is not None:
        # Memory and swap together: no swap.
        options += [f"--memory={wanted.memory_bytes}", f"--memory-swap={wanted.memory_bytes}"]
    if wanted.cpus is not None:
        options.append(f"--cpus={wanted.cpus:g}")
    if task.user == "root":
        options.append("--user=0:0")
        options += [f"--cap-add={name}" for name in ROOT_CAPABILITIES]
    return shlex.join([*options, *settings.container_options])


def job_body(job_id: str, pool_id: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return a job that stays open: with ``terminatejob`` one without tasks would end at once."""
    return {
        "id": job_id,
        "poolInfo": {"poolId": pool_id},
        "onAllTasksComplete": "noaction",
        "onTaskFailure": "noaction",
        "usesTaskDependencies": False,
        "constraints": {"maxTaskRetryCount": 0},
        "metadata": metadata_list(metadata),
    }


def pool_body(
    pool_id: str,
    settings: AzureSettings,
    image: VmImage,
    container_images: Iterable[str],
    *,
    metadata: Mapping[str, str],
    registry_password: Secret | None = None,
) -> dict[str, Any]:
    """Return a pool of machines that run containers.

    With `prefetch` they fetch the images first. Else a task does, which then fails alone, and with
    its own reason, where there is no such image. The registry's password stands here and nowhere
    else: Batch never gives it back.
    """
    containers: dict[str, Any] = {"type": "dockerCompatible"}
    if settings.prefetch:
        containers["containerImageNames"] = sorted(set(container_images))
    if settings.registry_username and registry_password is not None:
        registry = {
            "username": settings.registry_username,
            "password": registry_password.reveal(),
        }
        if settings.registry_server:
            registry["registryServer"] = settings.registry_server
        containers["containerRegistries"] = [registry]
    body: dict[str, Any] = {
        "id": pool_id,
        "vmSize": settings.vm_size,
        "virtualMachineConfiguration": {**image.body(), "containerConfiguration": containers},
        "taskSlotsPerNode": settings.slots_per_node,
        "taskSchedulingPolicy": {"nodeFillType": "spread"},
        "enableInterNodeCommunication": False,
        "metadata": metadata_list(metadata),
        **_size(settings),
    }
    if settings.subnet:
        body["networkConfiguration"] = {"subnetId": settings.subnet}
    if settings.start_task:
        body["startTask"] = _start_task(settings.start_task)
    return body


def autoscale_formula(settings: AzureSettings) -> str:
    """Return a formula that gives each waiting task a slot and goes to zero without work.

    `nodes` and `spot_nodes` are the most there may be; dedicated machines come first. After the
    sample in "Create a formula to automatically scale compute nodes" (Microsoft Learn), which
    counts tasks, not slots.
    """
    slots = settings.slots_per_node
    return "\n".join(
        (
            "interval = TimeInterval_Minute * 5;",
            "percent = $PendingTasks.GetSamplePercent(interval);",
            "last = max(0, $PendingTasks.GetSample(1));",
            "pending = percent < 70 ? last : max(last, avg($PendingTasks.GetSample(interval)));",
            f"wanted = pending > 0 ? (pending + {slots - 1}) / {slots} : 0;",
            f"{_DEDICATED} = min({settings.nodes}, wanted);",
            f"{_SPOT} = min({settings.spot_nodes}, max(0, wanted - {settings.nodes}));",
            "$NodeDeallocationOption = taskcompletion;",
        )
    )


def metadata_list(metadata: Mapping[str, str]) -> list[dict[str, str]]:
    """Return metadata in the form in which Batch takes it."""
    return [{"name": name, "value": value} for name, value in metadata.items()]


def duration(seconds: float) -> str:
    """Return a time in the form of ISO 8601 that Batch takes, a fraction rounded up."""
    return f"PT{math.ceil(seconds)}S"


def _container(task: PlannedTask, settings: AzureSettings) -> dict[str, Any]:
    """Return the container: of the machine it sees the task's own directory and no more.

    Without a list of mounts Batch would show it the files of all tasks on the machine.
    """
    container: dict[str, Any] = {
        "imageName": task.image or "",
        "containerRunOptions": run_options(task, settings),
        "workingDirectory": "taskWorkingDirectory",
        "containerHostBatchBindMounts": [{"source": "Task", "isReadOnly": False}],
    }
    if settings.identity and settings.registry_server:
        container["registry"] = {
            "registryServer": settings.registry_server,
            "identityReference": {"resourceId": settings.identity},
        }
    return container


def _resource(file: PlannedFile, places: Places) -> dict[str, Any]:
    return {
        "httpUrl": places.resource_url(file.key),
        "filePath": file.path,
        "fileMode": file.mode,
        **_identity(places),
    }


def _outputs(run_id: str, submission: TaskSubmission, places: Places) -> list[dict[str, Any]]:
    task, attempt = submission.task, submission.attempt
    working = names.working_prefix(run_id, task.id, attempt)
    wanted = {(output.path, output.when): output for output in task.outputs}.values()
    # The logs come first: they say why, where an output stops the uploads after it.
    logs = [
        _upload(
            f"../{stream}.txt",
            names.log_blob(run_id, task.id, attempt, stream),
            _CONDITIONS["always"],
            places,
        )
        for stream in ("stdout", "stderr")
    ]
    return logs + [
        _upload(output.path, _destination(working, output), _CONDITIONS[output.when], places)
        for output in wanted
    ]


def _destination(working: str, output: PlannedOutput) -> str:
    """Return the blob for one file, or the virtual directory for what a pattern matches.

    That a file keeps its path below the pattern's fixed part was not seen on the real service.
    """
    inside = paths.fixed_part(output.path) if output.is_pattern else output.path
    return f"{working}/{inside}" if inside else working


def _upload(pattern: str, path: str, condition: str, places: Places) -> dict[str, Any]:
    container = {"path": path, "containerUrl": places.output_container, **_identity(places)}
    return {
        "filePattern": pattern,
        "destination": {"container": container},
        "uploadOptions": {"uploadCondition": condition},
    }


def _identity(places: Places) -> dict[str, Any]:
    return {"identityReference": {"resourceId": places.identity}} if places.identity else {}


def _size(settings: AzureSettings) -> dict[str, Any]:
    if settings.autoscale:
        return {
            "enableAutoScale": True,
            "autoScaleFormula": autoscale_formula(settings),
            "autoScaleEvaluationInterval": "PT5M",
        }
    return {
        "targetDedicatedNodes": settings.nodes,
        "targetLowPriorityNodes": settings.spot_nodes,
    }


def _start_task(command_line: str) -> dict[str, Any]:
    """Return the start task. It prepares the machine, so it alone is an administrator there."""
    return {
        "commandLine": command_line,
        "waitForSuccess": True,
        "maxTaskRetryCount": 1,
        "userIdentity": {"autoUser": {"scope": "pool", "elevationLevel": "admin"}},
    }
