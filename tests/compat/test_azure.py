"""What a client does on Azure Batch, emulated."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from azure.storage.blob import BlobServiceClient

from batchcore.compat.super_batch import Client, JobFailed, SuperBatchWarning
from batchcore.errors import BatchcoreError, NotFound, SettingsError
from batchcore_azure.emulator.cloud import Emulator  # noqa: TID251 - Azure, for a test
from batchcore_azure.emulator.faults import Fault  # noqa: TID251 - as above

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("worker_base_image")]

Make = Callable[..., Any]
IMAGE = "batchcore-test-base:latest"


@pytest.fixture
def on_azure(make: Make, azure_emulator: Emulator) -> Make:
    """Make a client whose job runs in the test image on Azure."""
    return lambda **settings: make(DOCKER_IMAGE=IMAGE, **settings)


def signatures(emulator: Emulator) -> dict[str, list[dict[str, list[str]]]]:
    """Return the queries of the URLs that the tasks got, those of inputs and of outputs."""
    tasks = [task.body for job in emulator.state.jobs() for task in emulator.state.tasks_of(job.id)]
    urls = {
        "inputs": [file["httpUrl"] for task in tasks for file in task["resourceFiles"]],
        "outputs": [
            file["destination"]["container"]["containerUrl"]
            for task in tasks
            for file in task["outputFiles"]
        ],
    }
    return {kind: [parse_qs(urlsplit(url).query) for url in found] for kind, found in urls.items()}


def containers(emulator: Emulator) -> list[str]:
    """Return the containers of the storage account."""
    with BlobServiceClient.from_connection_string(emulator.storage.connection_string) as service:
        return sorted(container.name for container in service.list_containers())


def elsewhere(client: Client, directory: Path) -> Client:
    """Return a client on another machine, which has nothing but the data."""
    data = json.loads(json.dumps(client.data))
    data["config"]["BATCH_DIRECTORY"] = str(directory)
    return Client.from_data(data)


def test_the_account_comes_from_the_arguments(
    make: Make, azure_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in azure_emulator.environment:
        if "PROXY" not in name.upper():
            monkeypatch.delenv(name)
    client = make(
        DOCKER_IMAGE=IMAGE,
        BATCH_ACCOUNT_NAME=azure_emulator.account,
        BATCH_ACCOUNT_KEY=azure_emulator.key,
        BATCH_ACCOUNT_ENDPOINT=azure_emulator.endpoint,
        STORAGE_ACCOUNT_KEY=azure_emulator.storage.key,
        STORAGE_ACCOUNT_CONNECTION_STRING=azure_emulator.storage.connection_string,
    )
    client.add(0)
    client.run()
    assert [Path(path).read_text() for path in client.output_files] == ["in"]


def test_without_an_account_it_is_asked_for(make: Make) -> None:
    client = make(DOCKER_IMAGE=IMAGE)
    client.add(0)
    with pytest.raises(SettingsError, match="endpoint of a Batch account"):
        client.run()


def test_another_machine_collects_the_results(on_azure: Make, tmp_path: Path) -> None:
    client = on_azure()
    client.add(0)
    client.add(1)
    other = elsewhere(client, tmp_path / "other")
    client.run(wait=False)
    (client.config.directory / "in.txt").unlink()
    client.config.run_directory.rename(tmp_path / "gone")
    other.load_results()
    assert [Path(path).read_text() for path in other.output_files] == ["in", "in"]
    assert Path(other.output_files[0]).parent == tmp_path / "other"


def test_another_machine_hears_of_a_failure(on_azure: Make, tmp_path: Path) -> None:
    client = on_azure()
    client.add(0, "sh -c 'exit 7'")
    client.run(wait=False)
    with pytest.raises(JobFailed, match="Task_0: exit 7"):
        elsewhere(client, tmp_path / "other").load_results()


def test_another_machine_finds_nothing_before_the_run_and_makes_nothing(
    on_azure: Make, azure_emulator: Emulator, tmp_path: Path
) -> None:
    client = on_azure()
    client.add(0)
    before = containers(azure_emulator)
    with pytest.raises(NotFound, match="nothing is known"):
        elsewhere(client, tmp_path / "other").load_results()
    assert containers(azure_emulator) == before


def test_a_pool_that_exists_is_used_as_it_is(on_azure: Make, azure_emulator: Emulator) -> None:
    settings = {"POOL_ID": "mine", "POOL_VM_SIZE": "Standard_D2s_v5", "POOL_NODE_COUNT": 1}
    first = on_azure(JOB_ID="first", **settings)
    first.add(0)
    with pytest.warns(SuperBatchWarning):
        first.run()
    second = on_azure(JOB_ID="second", POOL_ID="mine", DELETE_POOL_WHEN_DONE=True)
    second.add(0)
    with pytest.warns(SuperBatchWarning, match="DELETE_POOL_WHEN_DONE"):
        second.run()
    # It was not made by the second job, which therefore leaves it.
    assert [pool.id for pool in azure_emulator.state.pools()] == ["mine"]


def test_what_is_to_be_deleted_goes_once_the_results_are_here(
    on_azure: Make, azure_emulator: Emulator
) -> None:
    client = on_azure(
        POOL_ID="mine",
        DELETE_POOL_WHEN_DONE=True,
        DELETE_JOB_WHEN_DONE=True,
        DELETE_CONTAINER_WHEN_DONE=True,
    )
    client.add(0)
    with pytest.warns(SuperBatchWarning):
        client.run()
    assert [Path(path).read_text() for path in client.output_files] == ["in"]
    state = azure_emulator.state
    with state.changed:
        assert state.changed.wait_for(lambda: not state.jobs() and not state.pools(), 60)


# Results were deleted, whether or not they had been downloaded.


def test_nothing_is_deleted_after_a_failure(on_azure: Make, azure_emulator: Emulator) -> None:
    client = on_azure(DELETE_JOB_WHEN_DONE=True, DELETE_CONTAINER_WHEN_DONE=True)
    client.add(0, "sh -c 'exit 7'")
    client.add(1)
    with pytest.warns(SuperBatchWarning), pytest.raises(JobFailed):
        client.run()
    (job,) = azure_emulator.state.jobs()
    assert len(azure_emulator.state.tasks_of(job.id)) == 2


# A task that never started was read as a missing blob.


def test_a_task_that_never_started_is_named_with_the_reason(
    make: Make, azure_emulator: Emulator
) -> None:
    client = make(DOCKER_IMAGE="127.0.0.1:1/no-such-image:v1")
    client.add(0)
    with pytest.raises(JobFailed, match="Task_0: image"):
        client.run()


# Any error at the creation of a pool was read as "the pool exists".


def test_a_pool_that_cannot_be_made_is_an_error(on_azure: Make, azure_emulator: Emulator) -> None:
    azure_emulator.faults.add(
        Fault(kind="status", method="POST", path="/pools", status=400, code="InvalidPropertyValue")
    )
    client = on_azure(POOL_ID="mine")
    client.add(0)
    with pytest.raises(BatchcoreError, match="InvalidPropertyValue"):
        client.run()
    assert azure_emulator.state.pools() == []


# Every task could read, write and delete the whole container.


def test_a_task_may_read_its_inputs_and_add_its_outputs(
    on_azure: Make, azure_emulator: Emulator
) -> None:
    client = on_azure()
    client.add(0)
    client.run()
    found = signatures(azure_emulator)
    assert {(q["sr"][0], q["sp"][0]) for q in found["inputs"]} == {("b", "r")}
    assert found["outputs"]
    assert not {right for q in found["outputs"] for right in q["sp"][0]} & set("rdl")


# All tasks were listed each second, in full.


def test_tasks_are_listed_by_what_has_changed(on_azure: Make, azure_emulator: Emulator) -> None:
    client = on_azure()
    for number in range(3):
        client.add(number, "sh -c 'sleep 1; touch out.txt'")
    client.run()
    lists = azure_emulator.requests.seen("GET", "/jobs/*/tasks")
    assert lists
    assert all("%24select=" in seen.query or "$select=" in seen.query for seen in lists)
    assert sum("filter=" not in seen.query for seen in lists) <= 2
