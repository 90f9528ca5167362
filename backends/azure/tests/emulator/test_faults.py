"""Accidents on demand, and the log of requests."""

from __future__ import annotations

import pytest
import requests
from azure.batch import models
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceResponseError,
)

from batchcore_azure.emulator.faults import Fault, Faults, Requests


def job_options(pool):
    return models.BatchJobCreateOptions(id="j", pool_info=models.BatchPoolInfo(pool_id=pool))


def test_a_status_with_its_headers_is_answered_to_the_nth_request_and_so_many_after(
    client, service
):
    service.faults.add(
        Fault(kind="status", status=429, code="TooManyRequests", headers={"Retry-After": "7"},
              path="/jobs", first=2, times=2)
    )  # fmt: skip
    seen = []
    for _ in range(4):
        try:
            list(client.list_jobs())
            seen.append(200)
        except HttpResponseError as error:
            seen.append((error.status_code, error.response.headers["Retry-After"]))
    assert seen == [200, (429, "7"), (429, "7"), 200]


def test_a_refusal_before_the_commit_changes_nothing(client, service, pool):
    service.faults.add(Fault(kind="status", method="POST"))
    with pytest.raises(HttpResponseError, match="busy"):
        client.create_job(job_options(pool))
    assert service.state.jobs() == []


def test_a_refusal_after_the_commit_leaves_what_was_done(client, service, pool):
    service.faults.add(Fault(kind="status", method="POST", after_commit=True))
    with pytest.raises(HttpResponseError):
        client.create_job(job_options(pool))
    with pytest.raises(ResourceExistsError):
        client.create_job(job_options(pool))


@pytest.mark.parametrize("after_commit", [False, True])
def test_a_broken_connection_before_or_after_the_commit(client, service, pool, after_commit):
    service.faults.add(Fault(kind="reset", method="POST", path="/jobs", after_commit=after_commit))
    with pytest.raises(ServiceResponseError):
        client.create_job(job_options(pool))
    assert [job.id for job in service.state.jobs()] == (["j"] if after_commit else [])
    assert isinstance(list(client.list_jobs()), list)


def test_a_body_that_is_cut_is_noticed(client, service, job):
    service.faults.add(Fault(kind="short_body", method="GET", path="/jobs/job"))
    with pytest.raises(AzureError):
        client.get_job(job)
    assert client.get_job(job).id == "job"


def test_an_answer_may_be_late(client, service, job):
    service.faults.add(Fault(kind="delay", seconds=30, path="/jobs/job"))
    with pytest.raises(ServiceResponseError, match="timed out"):
        client.get_job(job, read_timeout=0.2)


def test_an_empty_page_leads_to_the_items(client, service, job):
    service.faults.add(Fault(kind="empty_page", path="/jobs"))
    pages = [[job.id for job in page] for page in client.list_jobs().by_page()]
    assert pages == [[], ["job"]]


def test_single_tasks_of_a_collection_may_fail(client, service, job):
    service.faults.add(Fault(kind="entries", path="/jobs/*/addtaskcollection", task="*1"))
    tasks = [models.BatchTaskCreateOptions(id=f"t{n}", command_line="x") for n in range(3)]
    group = models.BatchTaskGroup(task_values=tasks)
    results = client.create_task_collection(job, group).result_values
    assert [entry.status for entry in results] == ["Success", "ServerError", "Success"]
    assert results[1].error.code == "ServerBusy"
    assert [task.id for task in client.list_tasks(job)] == ["t0", "t2"]


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("/jobs/*", "/jobs/j", True),
        ("/jobs/*", "/jobs/j/tasks", False),
        ("/jobs/**", "/jobs/j/tasks/t", True),
        ("**", "/anything", True),
        ("/jobs/j.", "/jobs/jx", False),
    ],
)
def test_a_star_stands_for_one_part_of_a_path_and_two_for_any(pattern, path, fits):
    assert Fault(kind="reset", path=pattern).matches("GET", path) is fits


def test_each_fault_counts_for_itself_and_the_one_planned_first_wins():
    faults = Faults()
    faults.add(Fault(kind="reset", times=1), Fault(kind="delay", times=2))
    assert [found and found.kind for found in (faults.pick("GET", "/") for _ in range(3))] == [
        "reset",
        "delay",
        None,
    ]


def test_cleared_faults_do_not_happen(client, service, job):
    service.faults.add(Fault(kind="status", times=9))
    service.faults.clear()
    assert client.get_job(job).id == "job"


# -- the log


def test_requests_are_logged_in_order_with_their_size(client, service, pool):
    client.create_job(job_options(pool))
    client.get_job("j")
    first, second = service.requests.seen()
    assert (first.method, first.path, second.method, second.path) == (
        "POST",
        "/jobs",
        "GET",
        "/jobs/j",
    )
    assert first.size > 0 == second.size
    assert second.query == "api-version=2025-06-01"
    assert service.requests.count("GET") == 1
    service.requests.clear()
    assert service.requests.count() == 0


def test_the_log_holds_no_signature():
    log = Requests()
    log.note("GET", "/x", "sv=1&sig=CANARY%2Fabc&se=2", 0, None)
    assert log.seen()[0].query == "sv=1&sig=REDACTED&se=2"


# -- the routes for tests in another process


def control(service, method, name, value=None):
    return requests.request(method, f"{service.url}/_emulator/{name}", json=value, timeout=30)


def test_faults_are_planned_and_cleared_over_http(client, service, job):
    fault = [{"kind": "status", "status": 500, "code": "InternalError", "times": 9}]
    assert control(service, "POST", "faults", fault).status_code == 204
    with pytest.raises(HttpResponseError):
        client.get_job(job)
    control(service, "DELETE", "faults")
    assert client.get_job(job).id == "job"


def test_a_fault_with_a_mistake_is_told(service):
    answer = control(service, "POST", "faults", [{"kind": "earthquake"}])
    assert (answer.status_code, "earthquake" in answer.text) == (400, True)


def test_the_log_is_read_over_http_and_holds_no_control_request(client, service, job):
    client.get_job(job)
    (seen,) = control(service, "GET", "requests").json()
    assert (seen["method"], seen["path"], seen["fault"]) == ("GET", "/jobs/job", None)
    control(service, "DELETE", "requests")
    assert control(service, "GET", "requests").json() == []


def test_a_preempted_node_gives_its_tasks_back_and_keeps_its_id(
    client, service, pool, job, running
):
    node, task = running
    order = {"pool": pool, "node": node}
    assert control(service, "POST", "preempt-node", order).status_code == 204
    assert client.get_node(pool, node).state == "preempted"
    back = client.get_task(job, task)
    assert (back.state, back.execution_info.requeue_count) == ("active", 1)
    assert back.execution_info.retry_count == 0
    assert back.node_info is None
    assert client.get_pool(pool).current_dedicated_nodes == 0


def test_a_lost_node_is_gone_and_its_tasks_wait_again(client, service, pool, job, running):
    node, task = running
    control(service, "POST", "lose-node", {"pool": pool, "node": node})
    with pytest.raises(ResourceNotFoundError):
        client.get_node(pool, node)
    assert client.get_task(job, task).state == "active"


def test_an_accident_to_nobody_is_told(service, pool):
    answer = control(service, "POST", "lose-node", {"pool": pool, "node": "x"})
    assert (answer.status_code, "NodeNotFound" in answer.text) == (404, True)


def test_resize_errors_start_task_failures_and_quotas_are_ordered(service, pool):
    errors = [{"code": "AccountCoreQuotaReached", "message": "m"}]
    control(service, "POST", "resize-errors", {"pool": pool, "errors": errors})
    control(service, "POST", "start-task-exit", {"pool": pool, "exit_code": 3})
    control(service, "POST", "quota", {"dedicated_cores": 0})
    record = service.state.pool(pool)
    assert (record.resize_errors, record.start_task_exit) == (errors, 3)
    assert service.state.allowed_nodes(pool, dedicated=True) == 0
