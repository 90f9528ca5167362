"""Tasks, as the SDK sees them: adding, moving, ending, and every refusal."""

from __future__ import annotations

from datetime import timedelta

import pytest
from azure.batch import models
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError


def wanted(task_id="t", **options):
    return models.BatchTaskCreateOptions(id=task_id, **{"command_line": "true", **options})


def refusal(call, *args, **kwargs):
    with pytest.raises(HttpResponseError) as caught:
        call(*args, **kwargs)
    return caught.value.status_code, (caught.value.error or caught.value.model).code


def group(*tasks):
    return models.BatchTaskGroup(task_values=list(tasks))


def test_a_task_is_active_and_has_the_defaults_of_the_service(client, job):
    client.create_task(job, wanted())
    task = client.get_task(job, "t")
    assert task.state == "active"
    assert task.required_slots == 1
    assert task.constraints.retention_time == timedelta(days=7)
    assert task.constraints.max_task_retry_count == 0
    assert task.user_identity.auto_user.elevation_level == "nonadmin"
    assert (task.execution_info.retry_count, task.execution_info.requeue_count) == (0, 0)
    assert task.execution_info.exit_code is None


def test_a_task_takes_the_retries_of_its_job(client, service, pool):
    service.state.create_job(
        {"id": "j", "poolInfo": {"poolId": pool}, "constraints": {"maxTaskRetryCount": 3}}
    )
    client.create_task("j", wanted())
    assert client.get_task("j", "t").constraints.max_task_retry_count == 3


def test_a_task_told_in_full_has_the_members_that_the_service_tells(send, service, job, running):
    service.state.set_task_state(job, "task", "completed", result="success", exitCode=0)
    body = send("GET", f"/jobs/{job}/tasks/task").json()
    assert body["odata.metadata"].endswith("/$metadata#tasks/@Element")
    assert body.keys() == {
        "odata.metadata",
        "id",
        "url",
        "eTag",
        "creationTime",
        "lastModified",
        "state",
        "stateTransitionTime",
        "previousState",
        "previousStateTransitionTime",
        "commandLine",
        "userIdentity",
        "constraints",
        "requiredSlots",
        "executionInfo",
        "nodeInfo",
    }
    assert body["nodeInfo"].keys() == {
        "affinityId",
        "nodeUrl",
        "poolId",
        "nodeId",
        "taskRootDirectory",
        "taskRootDirectoryUrl",
    }


def test_the_version_of_a_task_does_not_change_with_its_state(client, service, job, running):
    before = client.get_task(job, "task")
    service.state.set_task_state(job, "task", "completed", result="success", exitCode=0)
    after = client.get_task(job, "task")
    assert (after.etag, after.last_modified) == (before.etag, before.last_modified)
    assert (after.state, after.previous_state) == ("completed", "running")
    assert after.state_transition_time > before.state_transition_time


def test_a_collection_answers_for_each_task_in_the_spelling_of_the_service(send, job):
    sent = {"value": [{"id": "a", "commandLine": "x"}, {"id": "A", "commandLine": "x"}]}
    answer = send("POST", f"/jobs/{job}/addtaskcollection", sent)
    good, bad = answer.json()["value"]
    assert answer.json()["odata.metadata"].endswith("/$metadata#taskaddresult")
    assert good.keys() == {"status", "taskId", "eTag", "lastModified", "location"}
    assert (good["status"], good["taskId"]) == ("Success", "a")
    assert (bad["status"], bad["taskId"]) == ("ClientError", "A")
    assert bad["error"]["code"] == "TaskExists"
    assert bad["error"]["message"]["lang"] == "en-US"
    assert bad["error"]["message"]["value"].startswith("The specified task already exists.\nReq")


def test_an_order_of_adding_is_the_order_of_listing(client, job):
    names = [f"t{n}" for n in (3, 1, 2)]
    client.create_task_collection(job, group(*map(wanted, names)))
    assert [task.id for task in client.list_tasks(job)] == names


def test_more_than_a_hundred_tasks_are_too_many_for_one_request(client, job):
    tasks = group(*(wanted(f"t{n}") for n in range(101)))
    assert refusal(client.create_task_collection, job, tasks) == (413, "RequestBodyTooLarge")
    assert list(client.list_tasks(job)) == []


def test_more_than_a_mebibyte_is_too_much_for_one_request(client, job):
    long = wanted(environment_settings=[models.EnvironmentSetting(name="A", value="x" * 2**20)])
    assert refusal(client.create_task, job, long) == (413, "RequestBodyTooLarge")


def test_a_task_exists_only_once(client, job):
    client.create_task(job, wanted())
    assert refusal(client.create_task, job, wanted("T")) == (409, "TaskExists")


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"task_id": "a.b"}, 400, "InvalidPropertyValue"),
        ({"task_id": "JobRelease"}, 409, "TaskIdSameAsJobReleaseTask"),
        ({"task_id": "jobpreparation"}, 409, "TaskIdSameAsJobPreparationTask"),
        ({"display_name": "x" * 1025}, 400, "InvalidPropertyValue"),
        ({"required_slots": 2}, 400, "InvalidPropertyValue"),
        (
            {"container_settings": models.BatchTaskContainerSettings(image_name="i")},
            400,
            "InvalidPropertyValue",
        ),
        (
            {"resource_files": [models.ResourceFile(http_url="u", file_path="../a")]},
            400,
            "InvalidPropertyValue",
        ),
        (
            {"resource_files": [models.ResourceFile(http_url="u")]},
            400,
            "MissingRequiredProperty",
        ),
        (
            {"resource_files": [models.ResourceFile(file_path="a")]},
            400,
            "InvalidPropertyValue",
        ),
        ({"output_files": [{"filePattern": "a"}]}, 400, "MissingRequiredProperty"),
        (
            {"multi_instance_settings": {"coordinationCommandLine": "x"}},
            400,
            "UnsupportedProperty",
        ),
        ({"command_line": None}, 400, "MissingRequiredProperty"),
        (
            {"depends_on": models.BatchTaskDependencies(task_ids=["a"])},
            400,
            "TaskDependenciesNotSpecifiedOnJob",
        ),
    ],
)
def test_a_task_that_cannot_be_is_refused(client, job, options, status, code):
    assert refusal(client.create_task, job, wanted(**options)) == (status, code)


def test_an_output_needs_a_container(client, job):
    output = {"filePattern": "*.csv", "uploadOptions": {"uploadCondition": "taskcompletion"}}
    whole = {**output, "destination": {"container": {"containerUrl": "https://a/b?sv=1"}}}
    client.create_task(job, {"id": "a", "commandLine": "x", "outputFiles": [whole]})
    lacking = {**output, "destination": {"container": {"path": "a"}}}
    task = {"id": "b", "commandLine": "x", "outputFiles": [lacking]}
    assert refusal(client.create_task, job, task) == (400, "MissingRequiredProperty")


def test_a_pool_for_containers_takes_tasks_with_containers_alone(client, service, pool):
    machine = service.state.pool(pool).body["virtualMachineConfiguration"]
    service.state.create_pool(
        {
            "id": "containers",
            "vmSize": "Standard_D4s_v5",
            "virtualMachineConfiguration": {
                **machine,
                "containerConfiguration": {"type": "dockerCompatible"},
            },
        }
    )
    service.state.create_job({"id": "j", "poolInfo": {"poolId": "containers"}})
    assert refusal(client.create_task, "j", wanted()) == (400, "InvalidPropertyValue")
    nameless = {"id": "t", "commandLine": "x", "containerSettings": {"containerRunOptions": "-i"}}
    assert refusal(client.create_task, "j", nameless) == (400, "MissingRequiredProperty")
    client.create_task(
        "j", wanted(container_settings=models.BatchTaskContainerSettings(image_name="i"))
    )


def test_a_list_of_dependencies_has_a_limit(client, service, pool):
    service.state.create_job(
        {"id": "j", "poolInfo": {"poolId": pool}, "usesTaskDependencies": True}
    )
    ids = [f"{n:064}" for n in range(1001)]
    task = wanted(depends_on=models.BatchTaskDependencies(task_ids=ids))
    assert refusal(client.create_task, "j", task) == (400, "TaskDependencyListTooLong")


def test_a_waiting_task_that_is_terminated_completes_without_an_exit_code(client, job):
    client.create_task(job, wanted())
    client.terminate_task(job, "t")
    task = client.get_task(job, "t")
    assert (task.state, task.execution_info.result) == ("completed", "failure")
    assert task.execution_info.exit_code is None
    assert task.execution_info.failure_info.code == "TaskEnded"
    assert refusal(client.terminate_task, job, "t") == (409, "TaskCompleted")


def test_a_running_task_that_is_terminated_is_asked_to_stop(client, service, job, running):
    task = service.state.task(job, "task")
    assert service.state.must_stop(task, task.run) is None
    client.terminate_task(job, "task")
    assert service.state.must_stop(task, task.run) == "Task was ended by user request"


def test_a_failed_task_can_be_run_again(client, service, job, running):
    assert refusal(client.reactivate_task, job, "task") == (409, "TaskNotCompleted")
    service.state.set_task_state(
        job, "task", "completed", result="failure", exitCode=1, retryCount=2
    )
    client.reactivate_task(job, "task")
    task = client.get_task(job, "task")
    assert (task.state, task.execution_info.retry_count) == ("active", 0)
    assert task.execution_info.exit_code is None


def test_a_task_that_succeeded_is_not_run_again(client, service, job, running):
    service.state.set_task_state(job, "task", "completed", result="success", exitCode=0)
    assert refusal(client.reactivate_task, job, "task") == (409, "TaskSucceeded")


def test_a_replaced_task_has_new_constraints(client, job):
    client.create_task(job, wanted())
    task = client.get_task(job, "t")
    task.constraints = models.BatchTaskConstraints(max_wall_clock_time=timedelta(minutes=1))
    client.replace_task(job, "t", task)
    assert client.get_task(job, "t").constraints.max_wall_clock_time == timedelta(minutes=1)


def test_a_deleted_task_is_gone_and_its_run_is_over(client, service, job, running):
    task = service.state.task(job, "task")
    client.delete_task(job, "task")
    with pytest.raises(ResourceNotFoundError) as caught:
        client.get_task(job, "task")
    assert caught.value.error.code == "TaskNotFound"
    assert service.state.must_stop(task, task.run) == ""


def test_there_are_no_subtasks(client, job):
    client.create_task(job, wanted())
    assert list(client.list_subtasks(job, "t")) == []


def test_a_task_needs_its_job(client):
    assert refusal(client.create_task, "nowhere", wanted()) == (404, "JobNotFound")


def test_the_exception_for_every_conflict_is_the_same_so_that_only_the_code_tells(client, job):
    client.create_task(job, wanted())
    client._terminate_job_internal(job, options={"terminateReason": "x"})
    with pytest.raises(ResourceExistsError) as caught:
        client.create_task(job, wanted("other"))
    assert caught.value.error.code == "JobCompleted"
