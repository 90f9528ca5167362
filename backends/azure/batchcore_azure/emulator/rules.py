"""What the service refuses of a pool, a job or a task, and what it fills in. Pure."""

from __future__ import annotations

import re

from batchcore_azure.emulator.records import Body, Refusal, refuse_property

UNLIMITED = "P10675199DT2H48M5.4775807S"
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CORES = re.compile(r"standard_[a-z]+(\d+)", re.IGNORECASE)
_LONGEST_NAME = 1024
_LONGEST_DEPENDENCIES = 64_000
_MOST_SLOTS = 256
_NOT_HERE = "the emulator does not do this"
_CHANGEABLE_JOB = {
    "priority",
    "maxParallelTasks",
    "allowTaskPreemption",
    "onAllTasksComplete",
    "constraints",
    "poolInfo",
    "metadata",
    "networkConfiguration",
}


def cores(vm_size: str) -> int:
    """Return how many cores a VM size has: the first number of its name, as in Standard_D4s_v5."""
    found = _CORES.match(vm_size)
    return max(1, int(found[1])) if found else 1


# -- pools


def check_pool(sent: Body) -> None:
    """Raise `Refusal` for a pool that the service would not make."""
    check_id(sent)
    _need(sent, "vmSize", "virtualMachineConfiguration")
    machine = sent["virtualMachineConfiguration"]
    _need(machine, "imageReference", "nodeAgentSKUId")
    scaled = sent.get("enableAutoScale", False)
    if scaled and sent.get("targetDedicatedNodes") is not None:
        refuse_property("targetDedicatedNodes", sent["targetDedicatedNodes"], "autoscale is on")
    if scaled and not sent.get("autoScaleFormula"):
        raise _missing("autoScaleFormula")
    slots = sent.get("taskSlotsPerNode", 1)
    if not 1 <= slots <= min(4 * cores(sent["vmSize"]), _MOST_SLOTS):
        refuse_property("taskSlotsPerNode", slots, "at most 4 for each core and 256 in all")
    container = machine.get("containerConfiguration")
    if container is not None and container.get("type") not in {"dockerCompatible", "criCompatible"}:
        refuse_property("type", container.get("type"), "dockerCompatible is needed")


def pool_defaults(sent: Body) -> Body:
    """Return what the service fills in for a pool."""
    scaled = {"autoScaleEvaluationInterval": "PT15M"} if sent.get("enableAutoScale") else {}
    return {
        "resizeTimeout": "PT15M",
        "currentDedicatedNodes": 0,
        "targetDedicatedNodes": 0,
        "currentLowPriorityNodes": 0,
        "targetLowPriorityNodes": 0,
        "enableAutoScale": False,
        "enableInterNodeCommunication": False,
        "taskSlotsPerNode": 1,
        "taskSchedulingPolicy": {"nodeFillType": "Spread"},
        **scaled,
    }


# -- jobs


def check_job(sent: Body) -> None:
    """Raise `Refusal` for a job that the service, or this emulator, would not make."""
    check_id(sent)
    _need(sent, "poolInfo")
    for name in ("jobManagerTask", "jobPreparationTask", "jobReleaseTask"):
        if sent.get(name) is not None:
            raise _unsupported(name)
    if "poolId" not in sent["poolInfo"]:
        raise _unsupported("autoPoolSpecification")
    if sent.get("onTaskFailure", "noaction").lower() != "noaction":
        raise _unsupported("onTaskFailure")


def job_defaults(sent: Body) -> Body:
    """Return what the service fills in for a job."""
    return {
        "priority": 0,
        "maxParallelTasks": -1,
        "usesTaskDependencies": False,
        "allowTaskPreemption": False,
        "onAllTasksComplete": "noaction",
        "onTaskFailure": "noaction",
        "constraints": job_constraints(sent.get("constraints")),
    }


def job_constraints(sent: Body | None) -> Body:
    """Return a job's constraints; what is not sent goes to its default, also in a patch."""
    return {"maxWallClockTime": UNLIMITED, "maxTaskRetryCount": 0, **(sent or {})}


def check_job_change(job: Body, changes: Body) -> None:
    """Raise `Refusal` for a change that the service does not make."""
    for name in changes.keys() - _CHANGEABLE_JOB:
        refuse_property(name, changes[name], "the property cannot be changed")
    wanted = changes.get("onAllTasksComplete")
    if wanted == "noaction" and job["onAllTasksComplete"] == "terminatejob":
        refuse_property("onAllTasksComplete", wanted, "terminatejob cannot be taken back")


# -- tasks


def check_task(sent: Body, job: Body, pool: Body | None) -> None:
    """Raise `Refusal` for a task that the service, or this emulator, would not add to a job."""
    check_id(sent)
    for reserved, code in (
        ("jobpreparation", "TaskIdSameAsJobPreparationTask"),
        ("jobrelease", "TaskIdSameAsJobReleaseTask"),
    ):
        if sent["id"].lower() == reserved:
            raise Refusal(409, code, "The task has the id of a task of the job itself.")
    if "commandLine" not in sent:
        raise _missing("commandLine")
    for name in ("multiInstanceSettings", "applicationPackageReferences"):
        if sent.get(name):
            raise _unsupported(name)
    _check_dependencies(sent, job)
    _check_files(sent)
    if pool is not None:
        _check_container(sent, pool)
        if sent.get("requiredSlots", 1) > pool["taskSlotsPerNode"]:
            refuse_property("requiredSlots", sent["requiredSlots"], "the pool has fewer a node")


def _check_dependencies(sent: Body, job: Body) -> None:
    needs = sent.get("dependsOn")
    if not needs:
        return
    if not job["usesTaskDependencies"]:
        raise Refusal(
            400,
            "TaskDependenciesNotSpecifiedOnJob",
            "The job does not say that its tasks depend on each other.",
        )
    if sum(map(len, needs.get("taskIds") or ())) > _LONGEST_DEPENDENCIES:
        raise Refusal(
            400, "TaskDependencyListTooLong", "The ids that the task depends on are too long."
        )


def _check_container(sent: Body, pool: Body) -> None:
    """Tasks have container settings exactly on a pool with a container configuration."""
    container = sent.get("containerSettings")
    on_pool = pool["virtualMachineConfiguration"].get("containerConfiguration")
    if bool(container) != bool(on_pool):
        refuse_property(
            "containerSettings",
            "set" if container else "",
            "a pool with a container configuration takes tasks with container settings alone, "
            "any other pool takes none with them",
        )
    if container and not container.get("imageName"):
        raise _missing("imageName")


def _check_files(sent: Body) -> None:
    kinds = {"httpUrl", "storageContainerUrl", "autoStorageContainerName"}
    for resource in sent.get("resourceFiles") or ():
        if len(kinds & resource.keys()) != 1:
            refuse_property("resourceFiles", sorted(resource), "exactly one source is needed")
        if "httpUrl" in resource and not resource.get("filePath"):
            raise _missing("filePath")
        if ".." in resource.get("filePath", "").split("/"):
            refuse_property("filePath", resource["filePath"], "it leaves the working directory")
    for output in sent.get("outputFiles") or ():
        _need(output, "filePattern", "destination", "uploadOptions")
        _need(output["destination"], "container")
        _need(output["destination"]["container"], "containerUrl")


def task_defaults(sent: Body, job: Body) -> Body:
    """Return what the service fills in for a task."""
    return {
        "userIdentity": {"autoUser": {"scope": "pool", "elevationLevel": "nonadmin"}},
        "constraints": task_constraints(sent.get("constraints"), job),
        "requiredSlots": 1,
    }


def task_constraints(sent: Body | None, job: Body) -> Body:
    """Return a task's constraints: sent, of its job, or the service's defaults."""
    return {
        "maxWallClockTime": UNLIMITED,
        "retentionTime": "P7D",
        "maxTaskRetryCount": job["constraints"]["maxTaskRetryCount"],
        **(sent or {}),
    }


# -- all of them


def check_id(sent: Body) -> None:
    """Raise `Refusal` for an id outside the grammar of ids, or a name that is too long."""
    _need(sent, "id")
    if not _ID.fullmatch(sent["id"]):
        refuse_property(
            "id", sent["id"], "letters, digits, hyphens and underscores, at most 64 of them"
        )
    if len(sent.get("displayName") or "") > _LONGEST_NAME:
        refuse_property("displayName", sent["displayName"], "at most 1024 characters")


def _need(sent: Body, *names: str) -> None:
    for name in names:
        if sent.get(name) is None or sent[name] == "":
            raise _missing(name)


def _missing(name: str) -> Refusal:
    return Refusal(
        400,
        "MissingRequiredProperty",
        "A required property was not specified in the request body.",
        PropertyName=name,
    )


def _unsupported(name: str) -> Refusal:
    return Refusal(
        400,
        "UnsupportedProperty",
        "One of the properties in the request body is not supported.",
        PropertyName=name,
        Reason=_NOT_HERE,
    )
