"""Why attempts have not ended: what an account says of its pool, machines, jobs and tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from batchcore.backend import TaskSubmission
from batchcore.errors import BatchcoreError
from batchcore_azure.emulator.faults import Fault
from batchcore_azure.explain import Explainer
from batchcore_azure.pool import Pools
from batchcore_azure.settings import AzureSettings

Told = Callable[..., dict[str, list[str]]]
WAITING = "Batch has it waiting for a free slot of a machine"


@pytest.fixture
def told(lab: Any) -> Told:
    """Return what is told of these tasks, all of which are in the run's jobs."""
    run = lab.run("a", "b")
    lab.place(run)

    def ask(*ids: str, attempt: int = 1, pool: str = "lab-pool") -> dict[str, list[str]]:
        pools = Pools(lab.account, AzureSettings(pool=pool))
        attempts = [TaskSubmission(task, attempt) for task in run.plan.tasks if task.id in ids]
        return dict(Explainer(run, lab.account, lab.jobs, pools).explain(attempts))

    return ask


def test_the_pool_is_told_with_its_machines_by_state(lab: Any, told: Told) -> None:
    for state in ("idle", "idle", "starting"):
        lab.state.add_node("lab-pool", state=state)
    (pool,) = told()[""]
    assert pool == (
        "the pool lab-pool is active, its size resizing; wanted machines: 1; "
        "there are: 2 idle, 1 starting"
    )


def test_a_quota_that_is_not_granted_is_told_with_what_to_do(lab: Any, told: Told) -> None:
    error = {"code": "AccountCoreQuotaReached", "message": "no cores left", "values": []}
    lab.state.finish_resize("lab-pool", [error])
    pool, why, advice = told()[""]
    assert pool.endswith("its size steady; wanted machines: 1; there are: none")
    assert why == "the pool lab-pool cannot grow: AccountCoreQuotaReached: no cores left"
    assert advice.startswith("ask for a higher quota")


@pytest.mark.parametrize(
    ("state", "info", "words"),
    [
        (
            "starttaskfailed",
            {"startTaskInfo": {"state": "completed", "exitCode": 7, "retryCount": 0}},
            "1 machine failed in the start task (tvm-",
        ),
        (
            "unusable",
            {"errors": [{"code": "ContainerInvalidImage", "message": "no such image"}]},
            "ContainerInvalidImage: no such image",
        ),
    ],
)
def test_a_bad_machine_is_told_with_its_reason(
    lab: Any, told: Told, state: str, info: dict[str, Any], words: str
) -> None:
    node = lab.state.add_node("lab-pool", state="idle")
    lab.state.set_node_state("lab-pool", node.id, state, **info)
    pool, why = told()[""]
    assert pool.endswith(("there are: 1 failed in the start task", "there are: 1 unusable"))
    assert words in why


def test_a_pool_that_is_gone_is_told(told: Told) -> None:
    assert told(pool="gone")[""] == ["the pool gone does not exist any more"]


def test_a_waiting_and_a_running_task_are_told_apart(lab: Any, told: Told) -> None:
    lab.start("a")
    found = told("a", "b")
    assert found["a"][0].startswith("a machine has it")
    assert found["b"] == [WAITING]


def test_a_task_that_lost_its_machine_is_told(lab: Any, told: Told) -> None:
    lab.start("a")
    (node,) = lab.state.nodes_of("lab-pool")
    lab.state.preempt_node("lab-pool", node.id)
    assert told("a")["a"] == [
        WAITING,
        "Batch has started it again after it lost its machine; so far: 1",
    ]


def test_a_failure_that_nobody_has_collected_is_told(lab: Any, told: Told) -> None:
    failure = {"category": "UserError", "code": "ContainerInvalidImage", "message": "no such image"}
    lab.start("a")
    lab.complete("a", 1, failureInfo=failure)
    ended, why = told("a")["a"]
    assert ended == "it has ended, and its results have not been collected yet"
    assert why == "Batch says: ContainerInvalidImage: no such image"


def test_an_attempt_that_is_in_no_job_is_told(told: Told) -> None:
    (line,) = told("a", attempt=2)["a"]
    assert line.startswith("Batch does not have it")


def test_a_disabled_and_an_ended_job_are_told(lab: Any, told: Told) -> None:
    lab.state.disable_job("r-1", "requeue")
    assert "the job r-1 is disabled; `az batch job enable --job-id r-1`" in told()[""]
    lab.state.terminate_job("r-1", "ByHand")
    assert any(line.startswith("the job r-1 is ") and "ByHand" in line for line in told()[""])


def test_asking_changes_nothing_and_takes_few_requests(lab: Any, told: Told) -> None:
    before = len(lab.service.requests.seen())
    told("a", "b")
    asked = lab.service.requests.seen()[before:]
    assert {request.method for request in asked} == {"GET"}
    assert len(asked) == 7


def test_a_refusal_is_an_error_of_this_project(lab: Any, told: Told) -> None:
    fault = Fault(kind="status", status=403, code="AuthorizationFailure", path="/nodecounts")
    lab.service.faults.add(fault)
    with pytest.raises(BatchcoreError, match="lab-pool"):
        told()
