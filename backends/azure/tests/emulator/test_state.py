"""What the scheduler is promised, whom no request of a client reaches."""

from __future__ import annotations

import asyncio
import threading

import pytest

from batchcore_azure.emulator.app import create_app
from batchcore_azure.emulator.call import Context, no_nodes
from batchcore_azure.emulator.faults import Fault, Faults, Requests
from batchcore_azure.emulator.records import NoFiles, Refusal
from batchcore_azure.emulator.settings import EmulatorSettings
from batchcore_azure.emulator.state import State


@pytest.fixture
def state():
    state = State(EmulatorSettings(signed=False))
    machine = {"imageReference": {"virtualMachineImageId": "/mine"}, "nodeAgentSKUId": "agent"}
    state.create_pool(
        {"id": "p", "vmSize": "Standard_D2s_v5", "virtualMachineConfiguration": machine}
    )
    state.create_job({"id": "j", "poolInfo": {"poolId": "p"}})
    state.add_task("j", {"id": "t", "commandLine": "true"})
    return state


def start(state):
    node = state.add_node("p", state="idle")
    return node, state.start_task("j", "t", "p", node.id)


def test_the_answer_of_a_run_that_is_over_does_not_count(state):
    node, first = start(state)
    state.preempt_node("p", node.id)
    _, second = start(state)
    assert not state.set_task_state("j", "t", "completed", run=first, result="failure")
    assert state.task("j", "t").state == "running"
    assert state.set_task_state("j", "t", "completed", run=second, result="success")


def test_the_answer_of_a_deleted_task_does_not_count(state):
    _, run = start(state)
    state.delete_task("j", "t")
    assert not state.set_task_state("j", "t", "completed", run=run, result="success")


def test_a_run_on_a_lost_node_must_stop_and_has_nothing_to_say(state):
    node, run = start(state)
    task = state.task("j", "t")
    state.lose_node("p", node.id)
    assert state.must_stop(task, run) == ""


def test_a_run_that_is_started_again_shows_nothing_of_the_last(state):
    _, run = start(state)
    state.set_task_state("j", "t", "active", run=run, exitCode=1, retryCount=1)
    start(state)
    assert "exitCode" not in state.task("j", "t").execution
    assert state.task("j", "t").execution["retryCount"] == 1


@pytest.mark.parametrize("change", ["disable", "terminate", "complete"])
def test_a_task_is_started_only_while_it_and_its_job_are_active(state, change):
    if change == "disable":
        state.disable_job("j", "wait")
    elif change == "terminate":
        state.terminate_job("j")
    else:
        state.terminate_task("j", "t")
    with pytest.raises(Refusal, match="409"):
        start(state)


def test_tasks_are_known_by_their_state(state):
    start(state)
    state.add_task("j", {"id": "other", "commandLine": "true"})
    assert [task.id for task in state.tasks_of("j", "running")] == ["t"]
    assert [task.id for task in state.tasks_of("j", "active")] == ["other"]
    assert [task.id for task in state.tasks_of("j")] == ["t", "other"]


def test_who_waits_is_told_of_each_change(state):
    changing = threading.Thread(target=state.add_node, args=["p"])
    with state.changed:
        changing.start()
        assert state.changed.wait(30)
    changing.join()


def test_a_scaling_formula_changes_what_a_steady_pool_wants(state):
    state.finish_resize("p")
    state.autoscale_to("p", "$TargetDedicatedNodes=2", dedicated=2)
    pool = state.pool("p").body
    assert (pool["targetDedicatedNodes"], pool["targetLowPriorityNodes"]) == (2, 0)
    assert pool["allocationState"] == "resizing"
    assert pool["autoScaleRun"]["results"] == "$TargetDedicatedNodes=2"


def test_a_formula_that_failed_changes_no_size(state):
    state.finish_resize("p")
    state.autoscale_failed("p", "AutoScalingFormulaEvaluationError", "why")
    pool = state.pool("p").body
    assert pool["allocationState"] == "steady"
    assert pool["autoScaleRun"]["error"]["message"] == "why"


def test_a_pool_may_be_deleted_while_tasks_run_on_it(state):
    node, _ = start(state)
    state.delete_pool("p")
    state.lose_node("p", node.id)
    assert state.pools() == []
    assert state.nodes_of("p") == []
    assert state.task("j", "t").state == "active"


def test_the_service_works_without_a_server_where_a_reset_is_an_exception(state):
    faults = Faults()
    app = create_app(Context(state, NoFiles(), no_nodes), faults, Requests())
    assert asyncio.run(ask(app, "/jobs/j")) == 200
    faults.add(Fault(kind="reset"))
    with pytest.raises(ConnectionResetError):
        asyncio.run(ask(app, "/jobs/j"))


async def ask(app, path):
    """Return the status that an ASGI application answers to a read."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"api-version=2025-06-01",
        "headers": [],
    }
    sent = []

    async def receive():
        return {"type": "http.request", "body": b""}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"]
