"""Which task runs where and when, and what becomes of tasks whose node is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

SATISFY = {"default": {"dependencyAction": "satisfy"}}


def test_nodes_come_up_by_the_states_of_the_service(empty: Any) -> None:
    empty.pool(targetDedicatedNodes=2, targetLowPriorityNodes=1)
    empty.until(lambda: empty.node_states() == ["idle"] * 3)
    pool = empty.client.get_pool("pool")
    assert pool.allocation_state.lower() == "steady"
    assert (pool.current_dedicated_nodes, pool.current_low_priority_nodes) == (2, 1)


def test_a_node_that_boots_runs_nothing(serve: Callable[..., Any]) -> None:
    lab = serve(boot_seconds=3600)
    lab.pool()
    lab.job()
    task = lab.add("true")
    lab.until(lambda: lab.node_states() == ["creating"])
    assert lab.task(task).state == "active"


def test_tasks_of_one_slot_run_one_by_one_in_their_order(lab: Any) -> None:
    names = [lab.add("true", f"t{number}") for number in (3, 1, 2)]
    for name in names:
        lab.end(name)
    starts = [lab.task(name).execution["startTime"] for name in names]
    ends = [lab.task(name).execution["endTime"] for name in names]
    assert starts == sorted(starts)
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))


def test_slots_are_shared_out(empty: Any) -> None:
    empty.pool(taskSlotsPerNode=4)
    empty.job()
    large, small, late = (
        empty.add("sleep 600", requiredSlots=slots, name=name)
        for name, slots in (("large", 3), ("small", 1), ("late", 1))
    )
    empty.running(large)
    empty.running(small)
    (node,) = empty.client.list_nodes("pool")
    assert (node.running_task_slots_count, node.running_tasks_count) == (4, 2)
    assert empty.task(late).state == "active"
    empty.client.terminate_task("job", small)
    empty.running(late)


@pytest.mark.parametrize(("fill", "nodes"), [("spread", 2), ("pack", 1)])
def test_tasks_are_spread_or_packed(empty: Any, fill: str, nodes: int) -> None:
    empty.pool(
        targetDedicatedNodes=2,
        taskSlotsPerNode=2,
        taskSchedulingPolicy={"nodeFillType": fill},
    )
    empty.until(lambda: empty.node_states() == ["idle", "idle"])
    empty.job()
    tasks = [empty.add("sleep 600") for _ in range(2)]
    for task in tasks:
        empty.running(task)
    assert len({empty.task(task).body["nodeInfo"]["nodeId"] for task in tasks}) == nodes


def test_a_job_runs_no_more_at_once_than_it_says(empty: Any) -> None:
    empty.pool(taskSlotsPerNode=2)
    empty.job(maxParallelTasks=1)
    first, second = empty.add("sleep 600"), empty.add("sleep 600")
    empty.running(first)
    assert empty.task(second).state == "active"
    empty.client.terminate_task("job", first)
    empty.running(second)


def test_the_job_of_higher_priority_goes_first(empty: Any) -> None:
    empty.pool(targetDedicatedNodes=0)
    empty.job("low", priority=-5)
    empty.job("high", priority=5)
    low, high = empty.add("true", job="low"), empty.add("true", job="high")
    empty.until(lambda: empty.state.pool("pool").body["allocationState"] == "steady")
    empty.state.resize_pool("pool", dedicated=1)
    empty.end(low, "low")
    times = [empty.task(*which).execution["startTime"] for which in ((high, "high"), (low, "low"))]
    assert times == sorted(times)


def test_a_task_waits_for_those_it_depends_on(empty: Any) -> None:
    empty.pool(targetDedicatedNodes=2)
    empty.job(usesTaskDependencies=True)
    empty.add(
        "true", "last", dependsOn={"taskIds": ["One"], "taskIdRanges": [{"start": 7, "end": 8}]}
    )
    for name in ("one", "7", "8"):
        empty.add("true", name)
    empty.end("last")
    start = empty.task("last").execution["startTime"]
    assert all(empty.task(name).execution["endTime"] <= start for name in ("one", "7", "8"))


@pytest.mark.parametrize(
    ("command", "conditions", "goes_on"),
    [
        ("sh -c 'exit 1'", {}, False),
        ("sh -c 'exit 1'", SATISFY, True),
        (
            "sh -c 'exit 3'",
            {"exitCodes": [{"code": 3, "exitOptions": {"dependencyAction": "satisfy"}}]},
            True,
        ),
        (
            "sh -c 'exit 3'",
            {
                "exitCodeRanges": [
                    {"start": 2, "end": 9, "exitOptions": {"dependencyAction": "satisfy"}}
                ]
            },
            True,
        ),
        ("no-such-program", {"preProcessingError": {"dependencyAction": "satisfy"}}, True),
        (
            "sh -c 'exit 1'",
            {"preProcessingError": {"dependencyAction": "satisfy"}},
            False,
        ),
    ],
)
def test_a_failed_task_holds_back_its_dependents_unless_it_says_otherwise(
    empty: Any, command: str, conditions: Any, goes_on: bool
) -> None:
    empty.pool()
    empty.job(usesTaskDependencies=True)
    empty.add(command, "first", exitConditions=conditions)
    empty.add("true", "second", dependsOn={"taskIds": ["first"]})
    empty.add("true", "bystander")
    empty.end("bystander")
    empty.end("first")
    if goes_on:
        empty.end("second")
    assert empty.task("second").state == ("completed" if goes_on else "active")


def test_a_preempted_node_sends_its_task_back_and_returns_empty(empty: Any) -> None:
    empty.pool(targetDedicatedNodes=0, targetLowPriorityNodes=1)
    empty.job()
    task = empty.add(
        "sh -c 'test -e mark && exit 9; touch mark; echo $AZ_BATCH_NODE_IS_DEDICATED; sleep 600'"
    )
    empty.says(task, "false")
    (node,) = empty.state.nodes_of("pool")
    empty.state.preempt_node("pool", node.id)
    empty.until(lambda: empty.task(task).execution["requeueCount"] == 1)
    empty.running(task)
    empty.says(task, "false")
    assert [found.id for found in empty.state.nodes_of("pool")] == [node.id]
    assert empty.task(task).execution["retryCount"] == 0


def test_a_lost_node_takes_its_files_along(empty: Any) -> None:
    empty.pool(targetDedicatedNodes=2)
    empty.job()
    task = empty.add("sh -c 'echo up; sleep 600'")
    empty.says(task, "up")
    first = empty.task(task).body["nodeInfo"]["nodeId"]
    (log,) = empty.files(task, "stdout.txt")
    empty.state.lose_node("pool", first)
    empty.until(lambda: empty.task(task).state == "running")
    assert empty.task(task).body["nodeInfo"]["nodeId"] != first
    empty.until(lambda: not empty.emulator.scheduler.allocation.dying)
    assert not log.exists()


def test_files_of_a_task_are_gone_with_its_node(lab: Any) -> None:
    task = lab.add("true")
    lab.end(task)
    lab.state.lose_node("pool", lab.state.nodes_of("pool")[0].id)
    from azure.core.exceptions import ResourceExistsError

    with pytest.raises(ResourceExistsError, match="not available any more"):
        list(lab.client.list_task_files("job", task))


def test_a_deleted_pool_goes_with_its_nodes(lab: Any) -> None:
    task = lab.add("sleep 600")
    lab.running(task)
    lab.state.delete_pool("pool")
    lab.until(lambda: lab.state.pools() == [])
    assert lab.task(task).state == "active"


def test_a_pool_shrinks_by_its_idle_nodes_first(empty: Any) -> None:
    empty.pool(targetDedicatedNodes=2)
    empty.job()
    empty.until(lambda: empty.node_states() == ["idle", "idle"])
    task = empty.add("sleep 600")
    empty.running(task)
    empty.state.resize_pool("pool", dedicated=1)
    empty.until(lambda: len(empty.node_states()) == 1)
    (node,) = empty.state.nodes_of("pool")
    assert empty.task(task).body["nodeInfo"]["nodeId"] == node.id


def test_removed_nodes_leave(empty: Any) -> None:
    empty.pool(targetDedicatedNodes=2)
    empty.until(lambda: empty.node_states() == ["idle", "idle"])
    first, second = (node.id for node in empty.state.nodes_of("pool"))
    empty.state.remove_nodes("pool", [first])
    empty.until(lambda: [node.id for node in empty.state.nodes_of("pool")] == [second])


def test_a_quota_leaves_a_pool_short_and_says_so(empty: Any) -> None:
    empty.state.quota.spot_cores = 4
    empty.pool(targetDedicatedNodes=0, targetLowPriorityNodes=3)
    empty.until(lambda: empty.node_states() == ["idle"])
    (error,) = empty.client.get_pool("pool").resize_errors
    assert error.code == "AccountSpotCoreQuotaReached"


def test_errors_of_a_resize_can_be_ordered(empty: Any) -> None:
    empty.pool(targetDedicatedNodes=0)
    empty.until(lambda: empty.state.pool("pool").body["allocationState"] == "steady")
    empty.state.order_resize_errors("pool", [{"code": "AllocationFailed", "message": "No."}])
    empty.state.resize_pool("pool", dedicated=1)
    empty.until(lambda: empty.state.pool("pool").body["allocationState"] == "steady")
    (error,) = empty.client.get_pool("pool").resize_errors
    assert (error.code, empty.node_states()) == ("AllocationFailed", [])


def test_a_start_task_runs_before_any_task(empty: Any) -> None:
    empty.pool(startTask={"commandLine": "sh -c 'echo hello; pwd'", "waitForSuccess": True})
    empty.until(lambda: empty.node_states() == ["idle"])
    (node,) = empty.state.nodes_of("pool")
    info = empty.client.get_node("pool", node.id).start_task_info
    assert (info.exit_code, info.retry_count) == (0, 0)
    log = b"".join(empty.client.download_node_file("pool", node.id, "startup/stdout.txt")).decode()
    assert log.startswith("hello\n")
    assert log.endswith("/startup/wd\n")


@pytest.mark.parametrize(("waits", "state"), [(True, "starttaskfailed"), (False, "idle")])
def test_a_start_task_that_fails_keeps_the_node_from_work_if_it_is_waited_for(
    empty: Any, waits: bool, state: str
) -> None:
    empty.pool(
        startTask={
            "commandLine": "sh -c 'exit 5'",
            "waitForSuccess": waits,
            "maxTaskRetryCount": 1,
        }
    )
    empty.until(lambda: empty.node_states() == [state])
    (node,) = empty.state.nodes_of("pool")
    info = empty.client.get_node("pool", node.id).start_task_info
    assert (info.exit_code, info.retry_count) == (5, 1)
    assert info.failure_info.code == "FailureExitCode"


def test_the_end_of_start_tasks_can_be_ordered(empty: Any) -> None:
    empty.pool(targetDedicatedNodes=0, startTask={"commandLine": "true"})
    empty.until(lambda: empty.state.pool("pool").body["allocationState"] == "steady")
    empty.state.order_start_task_exit("pool", 1)
    empty.state.resize_pool("pool", dedicated=1)
    empty.until(lambda: empty.node_states() == ["starttaskfailed"])


@pytest.mark.docker
def test_an_image_that_cannot_be_fetched_makes_a_node_unusable(empty: Any) -> None:
    empty.pool(containers=True, images=["no-such-image:v1"])
    empty.until(lambda: empty.node_states() == ["unusable"])
    (node,) = empty.client.list_nodes("pool")
    assert [error.code for error in node.errors] == ["ContainerInvalidImage"]


class FailingDaemon(BaseHTTPRequestHandler):
    """A Docker daemon that tells its version and can do nothing else."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/version" else 500)
        self.end_headers()
        self.wfile.write(b'{"ApiVersion": "1.41", "message": "broken"}')

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_daemon_that_fails_makes_a_node_unusable(
    empty: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), FailingDaemon) as daemon:
        threading.Thread(target=daemon.serve_forever, args=[0.05]).start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{daemon.server_port}")
        empty.pool(containers=True)
        empty.until(lambda: empty.node_states() == ["unusable"])
        daemon.shutdown()
    (node,) = empty.client.list_nodes("pool")
    assert [error.code for error in node.errors] == ["ContainerMiscError"]


def test_a_pool_scales_from_zero_and_back(serve: Callable[..., Any]) -> None:
    lab = serve(autoscale_seconds=0.05)
    formula = "$TargetDedicatedNodes = min(2, $PendingTasks.GetSample(1));"
    lab.pool(targetDedicatedNodes=None, enableAutoScale=True, autoScaleFormula=formula)
    lab.job()
    tasks = [lab.add("true") for _ in range(3)]
    for task in tasks:
        assert lab.end(task)["result"] == "success"
    lab.until(lambda: lab.node_states() == [])
    assert lab.client.get_pool("pool").auto_scale_run.results == "$TargetDedicatedNodes=0"


def test_a_formula_that_fails_once_there_are_tasks_stops_nothing(serve: Callable[..., Any]) -> None:
    lab = serve(autoscale_seconds=0.05)
    lab.pool("other")
    formula = "$TargetDedicatedNodes = ln(1 - $PendingTasks);"
    lab.pool(targetDedicatedNodes=None, enableAutoScale=True, autoScaleFormula=formula)
    lab.job()
    lab.add("true")
    lab.until(lambda: "error" in lab.state.pool("pool").body["autoScaleRun"])
    lab.job("elsewhere", "other")
    assert lab.end(lab.add("true", job="elsewhere"), "elsewhere")["result"] == "success"


def test_scaling_down_lets_tasks_end(serve: Callable[..., Any]) -> None:
    lab = serve(autoscale_seconds=0.05)
    lab.pool()
    lab.job()
    task = lab.add("sh -c 'echo up; sleep 600'")
    lab.says(task, "up")
    lab.client.enable_pool_auto_scale(
        "pool",
        {"autoScaleFormula": "$TargetDedicatedNodes=0;$NodeDeallocationOption=taskcompletion;"},
    )
    (node,) = lab.state.nodes_of("pool")
    lab.until(lambda: node.body["schedulingState"] == "disabled")
    assert lab.task(task).state == "running"
    lab.client.terminate_task("job", task)
    lab.until(lambda: lab.node_states() == [])
    assert lab.task(task).state == "completed"
