"""The defects of azure-batch 15.1.0 that the backend works around, shown against the emulator.

A later SDK that mends one makes its test fail: then the way round can go.
"""

from __future__ import annotations

import json

import pytest
from azure.batch import models
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from batchcore_azure.emulator.faults import Fault


def test_the_status_of_an_added_task_is_spelt_as_no_value_of_the_enumeration(client, job):
    twice = [models.BatchTaskCreateOptions(id="a", command_line="x") for _ in range(2)]
    group = models.BatchTaskGroup(task_values=twice)
    entry = client.create_task_collection(job, group).result_values[1]
    assert entry.status == "ClientError"
    assert entry.status != models.BatchTaskAddStatus.CLIENT_ERROR


def test_create_tasks_reports_a_rejected_task_as_added(client, job):
    tasks = [models.BatchTaskCreateOptions(id="a.b", command_line="x")]
    client.create_tasks(job, tasks)
    assert list(client.list_tasks(job)) == []


def test_create_tasks_sends_the_last_chunk_first(client, job):
    tasks = [models.BatchTaskCreateOptions(id=f"t{n}", command_line="x") for n in range(150)]
    client.create_tasks(job, tasks)
    assert next(iter(client.list_tasks(job))).id != "t0"


def test_pool_exists_raises_instead_of_saying_no(client):
    with pytest.raises(ResourceNotFoundError):
        client.pool_exists("nowhere")


def test_terminating_a_job_without_options_fails_before_it_is_sent(client, service, job):
    with pytest.raises(ValueError, match="No value for given attribute"):
        client.begin_terminate_job(job)
    assert service.requests.count("POST", "/jobs/*/terminate") == 0


def test_a_failed_download_has_its_code_in_the_unread_body_alone(client, job, running):
    with pytest.raises(ResourceNotFoundError) as caught:
        list(client.download_task_file(job, "task", "stdout.txt"))
    assert (caught.value.error, caught.value.model) == (None, None)
    assert json.loads(caught.value.response.read())["code"] == "FileNotFound"


def test_a_failed_poll_ends_a_long_operation_without_an_error(client, service, job):
    service.faults.add(Fault(kind="status", method="GET", path="/jobs/job", times=9))
    poller = client.begin_terminate_job(job, options={"terminateReason": "x"})
    assert poller.result() is None
    assert poller.status() == "Failed"


def test_a_post_is_not_repeated_when_the_service_is_busy(client, service, pool):
    service.faults.add(Fault(kind="status", method="POST", status=429, code="TooManyRequests"))
    with pytest.raises(HttpResponseError):
        client.create_job({"id": "j", "poolInfo": {"poolId": pool}}, retry_total=3)
    assert service.requests.count("POST", "/jobs") == 1
