"""The pool of a run, and the sentences that say why its machines take no tasks."""

from __future__ import annotations

from typing import Any

import pytest
from azure.batch.models import BatchNode, BatchPool

from batchcore.errors import BackendError, Conflict, EnvironmentNotReady
from batchcore_azure.emulator.faults import Fault
from batchcore_azure.pool import Pools, condition_of
from batchcore_azure.settings import AzureSettings


def pools(lab: Any, **settings: Any) -> Pools:
    lab.environ["REGISTRY_PASSWORD"] = "CANARY-registry"  # noqa: S105 - to be looked for
    return Pools(lab.account, AzureSettings(**settings))


def test_an_existing_pool_is_used_as_it_is(lab):
    facts = pools(lab, pool="lab-pool", slots_per_node=8).ensure(lab.run("a"))
    assert (facts.id, facts.slots_per_node) == ("lab-pool", 4)
    assert lab.service.requests.count("POST", "/pools") == 0


def test_a_pool_is_made_where_there_is_none(lab):
    facts = pools(lab, registry_username="u", nodes=3).ensure(lab.run("a", "b"))
    assert facts.id == "r-1-pool"
    body = lab.state.pool("r-1-pool").body
    machine = body["virtualMachineConfiguration"]
    assert machine["imageReference"]["sku"] == "2404"
    assert machine["containerConfiguration"]["type"] == "dockerCompatible"
    assert {"name": "batchcore.run", "value": "r-1"} in body["metadata"]
    assert body["enableAutoScale"] is True
    assert "r-1-pool" in lab.news[0]


def test_a_pool_that_was_made_is_found_again(lab):
    for _ in range(2):
        pools(lab).ensure(lab.run("a"))
    assert lab.service.requests.count("POST", "/pools") == 1


def test_a_named_pool_is_made_under_its_name(lab):
    assert pools(lab, pool="mine", autoscale=False).ensure(lab.run("a")).id == "mine"
    assert lab.state.pool("mine").body["targetDedicatedNodes"] == 1


def test_a_lost_answer_makes_no_second_pool(lab):
    lab.service.faults.add(Fault(kind="reset", method="POST", path="/pools", after_commit=True))
    assert pools(lab).ensure(lab.run("a")).id == "r-1-pool"
    assert len(lab.state.pools()) == 2


def test_somebody_elses_pool_of_the_same_name_is_a_conflict(lab):
    pools(lab, pool="r-1-pool").ensure(lab.run("a", run_id="other"))
    with pytest.raises(Conflict, match="'r-1-pool'") as caught:
        pools(lab).ensure(lab.run("a"))
    assert "pool=r-1-pool" in caught.value.hint


def test_a_pool_that_runs_no_containers_is_refused(lab):
    machine = lab.state.pool("lab-pool").body["virtualMachineConfiguration"]
    del machine["containerConfiguration"]
    with pytest.raises(EnvironmentNotReady, match="does not run containers"):
        pools(lab, pool="lab-pool").ensure(lab.run("a"))


def test_a_pool_that_is_being_deleted_is_worth_another_try(lab):
    lab.state.add_node("lab-pool")
    lab.state.delete_pool("lab-pool")
    with pytest.raises(BackendError, match="being deleted") as caught:
        pools(lab, pool="lab-pool").ensure(lab.run("a"))
    assert caught.value.transient


def test_a_formula_that_the_service_cannot_evaluate_is_refused(lab):
    made = pools(lab, nodes=1)
    made.ensure(lab.run("a"))
    lab.formulas.fault = "no such word"
    with pytest.raises(EnvironmentNotReady, match="no such word") as caught:
        made.ensure(lab.run("a"))
    assert "autoscale=false" in caught.value.hint


def test_a_pool_is_deleted_once_and_again(lab):
    made = pools(lab)
    made.ensure(lab.run("a"))
    made.delete("r-1-pool")
    made.delete("r-1-pool")
    assert made.get("r-1-pool") is None


def test_a_healthy_pool_has_no_condition(lab):
    condition = pools(lab).condition("lab-pool")
    assert (condition.text, condition.is_quota) == ("", False)


def test_a_pool_that_cannot_grow_says_so_and_whether_it_is_the_quota(lab):
    errors = [{"code": "AccountCoreQuotaReached", "message": "no cores left", "values": []}]
    lab.state.finish_resize("lab-pool", errors)
    condition = pools(lab).condition("lab-pool")
    assert condition.text == (
        "the pool lab-pool cannot grow: AccountCoreQuotaReached: no cores left"
    )
    assert condition.is_quota


def test_a_formula_that_fails_is_a_condition(lab):
    lab.state.autoscale_failed("lab-pool", "Bad", "unknown word")
    assert "cannot scale: Bad: unknown word" in pools(lab).condition("lab-pool").text


def test_bad_machines_are_counted_by_kind_with_the_reason_of_the_first(lab):
    for _ in range(2):
        node = lab.state.add_node("lab-pool", state="idle")
        lab.state.set_node_state(
            "lab-pool",
            node.id,
            "starttaskfailed",
            startTaskInfo={"state": "completed", "exitCode": 7, "startTime": "x", "retryCount": 0},
        )
    lab.state.add_node("lab-pool", state="idle")
    text = pools(lab).condition("lab-pool").text
    assert text.startswith("2 machines failed in the start task (tvm-")
    assert text.endswith("exit code 7")


def test_a_pool_that_is_gone_is_a_condition(lab):
    assert pools(lab).condition("nowhere").text == "the pool nowhere does not exist any more"


def test_a_pool_without_machines_that_asks_for_none_is_a_condition():
    condition = condition_of(BatchPool({"id": "p", "state": "active"}), [])
    assert "az batch pool resize --pool-id p" in condition.text


def test_the_services_words_carry_no_signature():
    pool = BatchPool(
        {
            "id": "p",
            "targetDedicatedNodes": 1,
            "resizeErrors": [{"code": "X", "message": "at https://a/?sig=CANARY&x=1"}],
        }
    )
    node = BatchNode(
        {"id": "n", "state": "Unusable", "errors": [{"code": "E", "message": "sig=CANARY"}]}
    )
    text = condition_of(pool, [node]).text
    assert "CANARY" not in text
    assert "1 machine unusable (n): E: sig=" in text
