"""Jobs, as the SDK sees them: their states, their ends and every refusal."""

from __future__ import annotations

from datetime import timedelta

import pytest
from azure.batch import models
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError


def wanted(job_id="j", pool="pool", **options):
    there = models.BatchPoolInfo(pool_id=pool)
    return models.BatchJobCreateOptions(id=job_id, **{"pool_info": there, **options})


def task(task_id="task"):
    return models.BatchTaskCreateOptions(id=task_id, command_line="true")


def refusal(call, *args, **kwargs):
    with pytest.raises(HttpResponseError) as caught:
        call(*args, **kwargs)
    return caught.value.status_code, (caught.value.error or caught.value.model).code


def terminated(client, job):
    client._terminate_job_internal(job, options={"terminateReason": "done"})


def test_a_job_is_active_and_has_the_defaults_of_the_service(client, pool):
    client.create_job(wanted(metadata=[models.BatchMetadataItem(name="a", value="b")]))
    job = client.get_job("j")
    assert job.state == "active"
    assert (job.priority, job.max_parallel_tasks) == (0, -1)
    assert (job.all_tasks_complete_mode, job.task_failure_mode) == ("noaction", "noaction")
    assert job.constraints.max_wall_clock_time > timedelta(days=10_000_000)
    assert job.execution_info.pool_id == pool
    assert [(item.name, item.value) for item in job.metadata] == [("a", "b")]


def test_the_location_of_a_new_job_does_not_name_it(send, pool):
    answer = send("POST", "/jobs", {"id": "mine", "poolInfo": {"poolId": pool}})
    assert answer.status_code == 201
    assert answer.headers["Location"].endswith("/jobs/job-1")


def test_a_job_told_in_full_has_the_members_that_the_service_tells(send, job):
    body = send("GET", f"/jobs/{job}").json()
    assert body["odata.metadata"].endswith("/$metadata#jobs/@Element")
    assert body.keys() == {
        "odata.metadata",
        "id",
        "url",
        "eTag",
        "lastModified",
        "creationTime",
        "state",
        "stateTransitionTime",
        "priority",
        "maxParallelTasks",
        "usesTaskDependencies",
        "allowTaskPreemption",
        "constraints",
        "poolInfo",
        "executionInfo",
        "onAllTasksComplete",
        "onTaskFailure",
    }


def test_a_job_may_wait_for_a_pool_that_is_not_there_yet(client):
    client.create_job(wanted(pool="later"))
    client.create_task("j", task())
    assert client.get_task("j", "task").state == "active"


def test_a_job_exists_only_once_whatever_its_case(client, job):
    assert refusal(client.create_job, wanted("JOB")) == (409, "JobExists")


def test_no_more_active_jobs_than_the_quota_and_completed_ones_do_not_count(client, service, job):
    service.state.quota.jobs = 1
    code = "ActiveJobAndScheduleQuotaReached"
    assert refusal(client.create_job, wanted()) == (409, code)
    terminated(client, job)
    client.create_job(wanted())


def test_a_patch_of_constraints_replaces_all_of_them(client, pool):
    client.create_job(wanted(constraints=models.BatchJobConstraints(max_task_retry_count=5)))
    client.update_job(
        "j",
        models.BatchJobUpdateOptions(
            constraints=models.BatchJobConstraints(max_wall_clock_time=timedelta(hours=1))
        ),
    )
    constraints = client.get_job("j").constraints
    assert constraints.max_wall_clock_time == timedelta(hours=1)
    assert constraints.max_task_retry_count == 0


def test_a_replaced_job_goes_back_to_its_defaults(client, pool):
    client.create_job(wanted(priority=7, max_parallel_tasks=2))
    job = client.get_job("j")
    job.priority = None
    client.replace_job("j", job)
    replaced = client.get_job("j")
    assert (replaced.priority, replaced.max_parallel_tasks) == (0, 2)


def test_a_job_without_tasks_that_ends_with_its_tasks_ends_at_once(client, pool):
    client.create_job(wanted(all_tasks_complete_mode="terminatejob"))
    job = client.get_job("j")
    assert job.state == "completed"
    assert job.execution_info.termination_reason == "AllTasksComplete"


def test_terminatejob_ends_a_job_with_its_last_task_and_cannot_be_taken_back(
    client, service, job, running
):
    mode = models.BatchJobUpdateOptions(all_tasks_complete_mode="terminatejob")
    client.update_job(job, mode)
    assert client.get_job(job).state == "active"
    back = models.BatchJobUpdateOptions(all_tasks_complete_mode="noaction")
    assert refusal(client.update_job, job, back) == (400, "InvalidPropertyValue")
    service.state.set_task_state(job, "task", "completed", result="success", exitCode=0)
    assert client.get_job(job).state == "completed"


def test_terminating_kills_what_runs_and_leaves_what_waits(client, service, job, running):
    client.create_task(job, task("waits"))
    terminated(client, job)
    assert client.get_job(job).state == "terminating"
    assert service.state.must_stop(service.state.task(job, "task"), 1)
    service.state.set_task_state(job, "task", "completed", result="failure")
    ended = client.get_job(job)
    assert (ended.state, ended.execution_info.termination_reason) == ("completed", "done")
    assert client.get_task(job, "waits").state == "active"


def test_a_job_that_has_ended_takes_no_task_and_no_change(client, job):
    terminated(client, job)
    assert refusal(client.create_task, job, task()) == (409, "JobCompleted")
    group = models.BatchTaskGroup(task_values=[task()])
    assert refusal(client.create_task_collection, job, group) == (409, "JobCompleted")
    assert refusal(terminated, client, job) == (409, "JobCompleted")
    change = models.BatchJobUpdateOptions(priority=1)
    assert refusal(client.update_job, job, change) == (409, "JobCompleted")


def test_a_held_end_shows_the_windows_of_the_service(serve, connect):
    service = serve(hold_endings=True)
    client = connect(service)
    service.state.create_pool(
        {
            "id": "pool",
            "vmSize": "Standard_D4s_v5",
            "virtualMachineConfiguration": {
                "imageReference": {"virtualMachineImageId": "/mine"},
                "nodeAgentSKUId": "batch.node.ubuntu 24.04",
            },
        }
    )
    client.create_job(wanted())
    terminated(client, "j")
    assert refusal(client.create_task, "j", task()) == (409, "JobBeingTerminated")
    client._delete_job_internal("j")
    assert refusal(client.create_job, wanted()) == (409, "JobBeingDeleted")
    assert refusal(client.create_task, "j", task()) == (409, "JobBeingDeleted")
    service.state.settle()
    with pytest.raises(ResourceNotFoundError) as caught:
        client.get_job("j")
    assert caught.value.error.code == "JobNotFound"


def test_a_deleted_job_is_gone_once_nothing_of_it_runs(client, service, job, running):
    client._delete_job_internal(job)
    assert client.get_job(job).state == "deleting"
    service.state.set_task_state(job, "task", "completed", result="failure")
    assert refusal(client.get_job, job) == (404, "JobNotFound")


def test_a_disabled_job_sends_its_tasks_back_and_goes_on_when_enabled(
    client, service, job, running
):
    client._disable_job_internal(job, models.BatchJobDisableOptions(disable_tasks="requeue"))
    assert client.get_job(job).state == "disabled"
    sent_back = client.get_task(job, "task")
    assert (sent_back.state, sent_back.execution_info.requeue_count) == ("active", 1)
    client._enable_job_internal(job)
    assert client.get_job(job).state == "active"


def test_a_disabled_job_may_wait_for_its_tasks(client, service, job, running):
    client._disable_job_internal(job, models.BatchJobDisableOptions(disable_tasks="wait"))
    assert client.get_job(job).state == "disabling"
    service.state.set_task_state(job, "task", "completed", result="success")
    assert client.get_job(job).state == "disabled"


@pytest.mark.parametrize(
    "options",
    [
        {"job_preparation_task": models.BatchJobPreparationTask(command_line="x")},
        {"job_release_task": models.BatchJobReleaseTask(command_line="x")},
        {"task_failure_mode": "performexitoptionsjobaction"},
        {"pool_info": models.BatchPoolInfo(auto_pool_specification={"poolLifetimeOption": "job"})},
    ],
)
def test_what_the_emulator_does_not_do_is_refused_instead_of_ignored(client, pool, options):
    assert refusal(client.create_job, wanted(**options)) == (400, "UnsupportedProperty")


def test_what_happens_to_the_tasks_of_a_disabled_job_must_be_said(send, job):
    answer = send("POST", f"/jobs/{job}/disable", {"disableTasks": "explode"})
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidPropertyValue")


def test_a_disabled_job_may_end_its_tasks(client, service, job, running):
    client._disable_job_internal(job, models.BatchJobDisableOptions(disable_tasks="terminate"))
    assert service.state.must_stop(service.state.task(job, "task"), 1)


def test_what_a_job_is_made_of_does_not_change(send, job):
    answer = send("PATCH", f"/jobs/{job}", {"usesTaskDependencies": True})
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidPropertyValue")


def test_counts_are_as_late_as_those_of_the_service(client, service, clock, job, running):
    assert client.get_job_task_counts(job).task_counts.running == 0
    clock.advance(31)
    assert client.get_job_task_counts(job).task_counts.running == 1
    service.state.set_task_state(job, "task", "completed", result="failure", exitCode=1)
    assert client.get_job_task_counts(job).task_counts.running == 1
    clock.advance(31)
    counts = client.get_job_task_counts(job).task_counts
    assert (counts.running, counts.completed, counts.failed, counts.succeeded) == (0, 1, 1, 0)


def test_there_are_no_preparation_tasks(client, job):
    assert list(client.list_job_preparation_and_release_task_status(job)) == []
