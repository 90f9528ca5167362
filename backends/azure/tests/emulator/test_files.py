"""Files of tasks and nodes, as the SDK reads them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from batchcore_azure.emulator.records import FileFact, Refusal
from batchcore_azure.emulator.service import Service

WHEN = datetime(2026, 11, 22, 10, tzinfo=UTC)


class Shelf:
    """The same files for every task and node, in memory."""

    def __init__(self) -> None:
        self.contents = {"stdout.txt": b"0123456789", "wd/a b.txt": b"x", "wd/100%2F.txt": b"y"}
        self.lost = False

    def listing(self, owner, *, recursive):
        names = {name if recursive else name.split("/")[0] for name in self.contents}
        return [self.fact(owner, name) for name in sorted(names | {"wd"})]

    def fact(self, owner, name):
        if self.lost:
            raise Refusal(409, "TaskFilesUnavailable", "The files are not there any more.")
        if name == "wd":
            return FileFact(name, True, 0, WHEN)
        if name not in self.contents:
            raise FileNotFoundError(name)
        return FileFact(name, False, len(self.contents[name]), WHEN)

    def read(self, owner, name, start, end):
        return self.contents[name][start:end]

    def delete(self, owner, name, *, recursive):
        del self.contents[name]


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def service(clock, shelf):
    service = Service(clock=clock)
    service.start(files=shelf)
    yield service
    service.stop()


def read(client, job, name, **options):
    try:
        return b"".join(client.download_task_file(job, "task", name, **options))
    except HttpResponseError as error:
        error.response.read()  # else its connection stays open
        raise


def test_a_list_tells_what_a_linux_node_tells(send, job, running):
    body = send("GET", f"/jobs/{job}/tasks/task/files").json()
    assert body["odata.metadata"].endswith("/$metadata#files")
    file, directory = body["value"]
    assert file.keys() == {"name", "url", "isDirectory", "properties"}
    assert file["properties"].keys() == {
        "lastModified",
        "contentLength",
        "contentType",
        "fileMode",
    }
    assert (file["properties"]["contentLength"], file["properties"]["fileMode"]) == ("10", "0644")
    assert directory.keys() == {"name", "url", "isDirectory"}


def test_a_recursive_list_may_be_filtered_by_the_start_of_the_name(client, job, running):
    found = client.list_task_files(job, "task", recursive=True, filter="startswith(name,'wd/a')")
    assert [(file.name, file.properties.content_length) for file in found] == [("wd/a b.txt", 1)]


@pytest.mark.parametrize("name", ["wd/a b.txt", "wd/100%2F.txt"])
def test_a_name_is_decoded_once(client, shelf, job, running, name):
    assert read(client, job, name) == shelf.contents[name]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("bytes=2-4", b"234"), ("bytes=8-99", b"89"), ("bytes=7-", b"789")],
)
def test_a_range_is_answered_with_status_200(client, job, running, wanted, found):
    assert read(client, job, "stdout.txt", ocp_range=wanted) == found


def test_a_range_behind_the_end_is_invalid(client, job, running):
    with pytest.raises(HttpResponseError) as caught:
        read(client, job, "stdout.txt", ocp_range="bytes=10-")
    assert caught.value.status_code == 416


def test_a_head_tells_the_size_without_the_content(client, send, job, running):
    facts = client.get_task_file_properties(job, "task", "stdout.txt")
    assert facts.content_length == 10
    answer = send("HEAD", f"/jobs/{job}/tasks/task/files/stdout.txt")
    assert (answer.headers["Content-Length"], answer.content) == ("10", b"")
    assert answer.headers["ocp-batch-file-isdirectory"] == "False"
    assert answer.headers["ocp-batch-file-url"].startswith("http%3A%2F%2F")


def test_a_file_that_is_not_there_is_file_not_found(send, job, running):
    answer = send("GET", f"/jobs/{job}/tasks/task/files/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "FileNotFound")


def test_files_of_a_lost_node_are_a_conflict(client, shelf, job, running):
    shelf.lost = True
    with pytest.raises(ResourceExistsError):
        list(client.list_task_files(job, "task"))


def test_a_file_can_be_deleted(client, shelf, job, running):
    client.delete_task_file(job, "task", "stdout.txt")
    assert "stdout.txt" not in shelf.contents


def test_a_node_has_files_too(client, pool, running):
    node, _ = running
    names = [file.name for file in client.list_node_files(pool, node)]
    assert names == ["stdout.txt", "wd"]
    assert b"".join(client.download_node_file(pool, node, "stdout.txt")) == b"0123456789"


def test_an_emulator_without_nodes_has_no_files(serve, connect, shelf):
    service = serve()
    machine = {
        "imageReference": {"virtualMachineImageId": "/mine"},
        "nodeAgentSKUId": "batch.node.ubuntu 24.04",
    }
    service.state.create_pool(
        {"id": "p", "vmSize": "Standard_D4s_v5", "virtualMachineConfiguration": machine}
    )
    service.state.create_job({"id": "j", "poolInfo": {"poolId": "p"}})
    service.state.add_task("j", {"id": "task", "commandLine": "true"})
    client = connect(service)
    assert list(client.list_task_files("j", "task")) == []
    with pytest.raises(ResourceNotFoundError):
        read(client, "j", "stdout.txt")
