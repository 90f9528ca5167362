"""What Azure is asked before anything is made, and what its answers mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from batchcore.backend import Check
from batchcore.errors import BackendError, EnvironmentNotReady
from batchcore.model import Requirements
from batchcore.plan import Plan, PlannedTask
from batchcore_azure.auth import Account
from batchcore_azure.check import check_plan

REFERENCE = {"publisher": "microsoft-dsvm", "offer": "ubuntu-hpc", "sku": "2404"}
IMAGE = {
    "nodeAgentSKUId": "batch.node.ubuntu 24.04",
    "imageReference": {**REFERENCE, "version": "latest"},
    "osType": "linux",
    "capabilities": ["DockerCompatible"],
    "verificationType": "verified",
}
POOL = {
    "id": "mine",
    "state": "active",
    "vmSize": "standard_d4s_v5",
    "taskSlotsPerNode": 1,
    "targetDedicatedNodes": 1,
    "targetLowPriorityNodes": 0,
    "currentDedicatedNodes": 1,
    "currentLowPriorityNodes": 0,
    "enableAutoScale": False,
    "virtualMachineConfiguration": {
        "imageReference": REFERENCE,
        "nodeAgentSKUId": "batch.node.ubuntu 24.04",
        "containerConfiguration": {"type": "dockerCompatible"},
    },
}

Look = Callable[..., Check]


def plan(**given: Any) -> Plan:
    task = PlannedTask(id="one", command=("true",), image="worker@sha256:ab", **given)
    return Plan(name="job", base="/", spec_hash="0" * 64, tasks=(task,))


@pytest.fixture
def look(service: Any, account: Account, settings: Callable[..., Any]) -> Look:
    """Return a function that checks a plan against a service where all is well."""
    service.answer("/supportedimages", (200, {"value": [IMAGE]}, {}))
    service.answer("/pools/mine", (200, POOL, {}))
    service.answer("/store/batchcore", (200, None, {"x-ms-version": "1"}))

    def check(wanted: Plan | None = None, **given: Any) -> Check:
        return check_plan(wanted or plan(), settings(**given), account)

    return check


@pytest.mark.parametrize("given", [{}, {"pool": "mine"}])
def test_where_all_is_well_nothing_is_said_and_nothing_is_made(
    service: Any, look: Look, given: dict[str, Any]
):
    check = look(**given)
    assert (check.problems, check.notes) == ([], [])
    assert {method for method, _, _ in service.asked} == {"GET"}
    assert check.fingerprint == {"worker@sha256:ab": "sha256:ab"}


def test_azure_is_not_asked_about_a_plan_that_is_wrong_by_itself(service: Any, look: Look):
    assert look(plan(timeout=1), nodes=0).problems
    assert service.asked == []


def test_a_pool_that_is_not_there_is_announced(service: Any, look: Look):
    (note,) = look(pool="none").notes
    assert "'none'" in note


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"state": "deleting"}, "being deleted"),
        ({"virtualMachineConfiguration": None}, "no containers"),
        ({"targetDedicatedNodes": 0, "currentDedicatedNodes": 0}, "no machines"),
    ],
)
def test_a_pool_that_cannot_run_the_job_is_told(
    service: Any, look: Look, change: dict[str, Any], word: str
):
    service.answer("/pools/mine", (200, {**POOL, **change}, {}))
    (problem,) = look(pool="mine").problems
    assert word in problem.reason
    assert problem.key == "backend.azure.pool"
    assert problem.hint


def test_an_empty_pool_that_grows_by_itself_is_taken(service: Any, look: Look):
    empty = {"targetDedicatedNodes": 0, "currentDedicatedNodes": 0, "enableAutoScale": True}
    service.answer("/pools/mine", (200, {**POOL, **empty}, {}))
    assert look(pool="mine").problems == []


def test_the_size_of_an_existing_pool_counts_and_not_that_of_the_settings(look: Look):
    wanted = plan(requirements=Requirements(cpus=4))
    assert look(wanted, pool="mine").problems == []
    (problem,) = look(plan(requirements=Requirements(cpus=8)), pool="mine").problems
    assert "standard_d4s_v5" in problem.reason
    (problem,) = look(plan(requirements=Requirements(cpus=8)), pool="none").problems
    assert "Standard_D2s_v5" in problem.reason


def test_why_a_pool_could_not_grow_is_noted(service: Any, look: Look):
    error = {"code": "AccountCoreQuotaReached", "message": "No cores are left."}
    service.answer("/pools/mine", (200, {**POOL, "resizeErrors": [error]}, {}))
    (note,) = look(pool="mine").notes
    assert "AccountCoreQuotaReached: No cores are left." in note


def test_an_image_near_the_end_of_its_support_is_noted(service: Any, look: Look):
    old = {**IMAGE, "batchSupportEndOfLife": "2026-12-01T00:00:00Z"}
    service.answer("/supportedimages", (200, {"value": [old]}, {}))
    (note,) = look(image="microsoft-dsvm/ubuntu-hpc/2404").notes
    assert "2026-12-01" in note


def test_a_container_that_is_not_there_yet_is_no_problem(service: Any, look: Look):
    service.answer("/store/batchcore", (404, None, {"x-ms-error-code": "ContainerNotFound"}))
    assert look().problems == []


@pytest.mark.parametrize("path", ["/supportedimages", "/pools/mine", "/store/batchcore"])
def test_a_caller_that_is_refused_is_told_what_to_do(service: Any, look: Look, path: str):
    service.answer(path, (403, None, {"x-ms-error-code": "AuthorizationFailure"}))
    with pytest.raises(EnvironmentNotReady) as caught:
        look(pool="mine")
    assert "az role assignment create" in caught.value.hint


def test_a_service_that_does_not_answer_may_be_asked_again(service: Any, look: Look):
    service.answer("/supportedimages", (503, None, {"Retry-After": "600"}))
    with pytest.raises(BackendError) as caught:
        look()
    assert caught.value.transient
