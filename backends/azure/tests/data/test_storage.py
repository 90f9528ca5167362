"""Containers of a run: made where they are missing, and only the run's own things are deleted."""

from __future__ import annotations

import http.client
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from batchcore.errors import BackendError, Conflict
from batchcore.model import Output
from batchcore.states import TaskState
from batchcore.testing.faultproxy import Fault
from batchcore.transfer.collect import fetch, open_tree
from batchcore.transfer.logs import keep_log
from batchcore_azure import names
from batchcore_azure.storage import Storage


def there(place: Any, container: str) -> list[str]:
    return [blob.name for blob in place.blobs.get_container_client(container).list_blobs()]


def stage(place: Any, run: Any, key: str = "k") -> None:
    place.blobs.get_blob_client("batchcore", names.resource_blob(run.run_id, key)).upload_blob(b"x")


def release(storage: Storage, run: Any) -> list[str]:
    found = list(storage.leftovers(run))
    for _line, delete in found:
        delete()
    return [line for line, _delete in found]


def test_the_store_of_a_run_is_its_prefix_in_the_container(place: Any) -> None:
    assert place.storage.store(place.run) == f"az://batchcore/{place.run.run_id}"
    assert place.blobs.get_container_client("batchcore").exists()


def test_the_container_for_outputs_says_whose_it_is(place: Any) -> None:
    told = place.blobs.get_container_client(place.container).get_container_properties()
    assert told.metadata == {names.CONTAINER_RUN: place.run.run_id}


def test_containers_that_are_there_are_used(place: Any) -> None:
    place.left({"a": b"x"})
    assert place.storage.store(place.run)
    assert len(there(place, place.container)) == 1


def test_a_container_of_somebody_else_is_not_used(place: Any) -> None:
    foreign = place.run_of(f"{place.run.run_id}-2")
    place.blobs.create_container(names.output_container(foreign.run_id))
    with pytest.raises(Conflict, match="is not this run's"):
        place.storage.store(foreign)


def test_a_container_that_is_being_deleted_is_waited_for(place: Any) -> None:
    code = {"x-ms-error-code": "ContainerBeingDeleted"}
    place.proxy.add(Fault(kind="status", status=409, method="PUT", headers=code))
    with pytest.raises(BackendError, match="being deleted") as caught:
        place.storage.store(place.run)
    assert (caught.value.transient, caught.value.retry_after) == (True, 30)


def test_a_release_names_what_it_would_delete_and_deletes_that(place: Any) -> None:
    stage(place, place.run)
    told = [line for line, _delete in place.storage.leftovers(place.run)]
    assert told == [
        f"blobs az://batchcore/{place.run.run_id}/",
        f"container {place.container}",
    ]
    assert release(place.storage, place.run) == told
    assert release(place.storage, place.run) == []


def test_a_release_leaves_what_other_runs_have(place: Any) -> None:
    other = place.run_of(f"{place.run.run_id}-2")
    place.storage.store(other)
    for run in (place.run, other):
        stage(place, run)
    release(place.storage, place.run)
    assert names.resource_blob(other.run_id, "k") in there(place, "batchcore")
    assert place.blobs.get_container_client(names.output_container(other.run_id)).exists()


def test_of_a_container_that_runs_share_only_the_run_s_blobs_are_deleted(place: Any) -> None:
    shared = f"shared-{place.run.run_id}"
    storage = Storage(place.settings_with(output_container=shared), place.account)
    storage.store(place.run)
    for run_id in (place.run.run_id, f"{place.run.run_id}-2"):
        place.blobs.get_blob_client(shared, f"{run_id}/t/1/wd/a").upload_blob(b"x")
    assert f"blobs az://{shared}/{place.run.run_id}/" in release(storage, place.run)
    assert there(place, shared) == [f"{place.run.run_id}-2/t/1/wd/a"]
    storage.close()


@pytest.mark.parametrize("foreign", [False, True], ids=["empty", "used"])
def test_the_container_that_a_run_made_is_deleted_on_demand_when_it_is_empty(
    place: Any, foreign: bool
) -> None:
    container = f"own-{place.run.run_id}"
    changes = {"container": container, "delete_container_when_done": True}
    storage = Storage(place.settings_with(**changes), place.account)
    storage.store(place.run)
    if foreign:
        place.blobs.get_blob_client(container, "other/resources/k").upload_blob(b"x")
    release(storage, place.run)
    assert place.blobs.get_container_client(container).exists() == foreign
    storage.close()


def test_the_outputs_of_an_attempt_lie_where_its_machine_puts_them(place: Any) -> None:
    files = place.storage.outputs(place.run, place.attempt())
    base = f"az://{place.container}/{place.run.run_id}/t/1"
    assert (files.tree, files.stdout, files.stderr) == (
        f"{base}/wd",
        f"{base}/stdout.txt",
        f"{base}/stderr.txt",
    )


def collect(place: Any, tree: str, *outputs: Output | str) -> Any:
    opened = open_tree(tree, place.storage.filesystem)
    planned = place.planned(*outputs).outputs
    return fetch(planned, TaskState.SUCCEEDED, opened, place.directory / "incoming")


def test_outputs_known_by_their_names_are_asked_for_once_each_and_not_listed(place: Any) -> None:
    tree = place.left({"a": b"x", "sub/b": b"y"})
    before = len(place.proxy.requests)
    assert [file.path for file in collect(place, tree, "a", "sub/b").files] == ["a", "sub/b"]
    asked = [(request.method, request.path) for request in place.proxy.requests[before:]]
    assert [method for method, _path in asked] == ["GET", "GET"]
    assert all("/wd/" in path for _method, path in asked)


def test_a_required_output_that_is_not_there_is_missing(place: Any) -> None:
    refused = collect(place, place.left({"a": b"x"}), "b").refused
    assert refused.detail == "'b' was not written; the task left 'a'"


def put_raw(place: Any, spelling: str) -> None:
    """Put a blob whose name no client would send, by a worker's own signature."""
    url = place.storage.places(place.run, 60).output_container
    path, _, query = url.partition("?")
    prefix = names.working_prefix(place.run.run_id, "t", 1)
    target = urlsplit(path)
    connection = http.client.HTTPConnection(target.netloc)
    line = f"{target.path}/{prefix}/{spelling}?{query}"
    connection.request("PUT", line, b"evil", {"x-ms-blob-type": "BlockBlob"})
    assert connection.getresponse().status == HTTPStatus.CREATED
    connection.close()


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("..%2Fevil", "../evil"),
        ("x%2F..%2F..%2Fevil", "x/../../evil"),
        ("%2Fetc%2Fevil", "/etc/evil"),
        ("a%0Ab", "a\nb"),
        ("a.", "a."),
    ],
)
def test_a_blob_with_a_hostile_name_is_not_collected(place: Any, spelling: str, name: str) -> None:
    tree = place.left({"good": b"x"})
    put_raw(place, spelling)
    assert any(blob.endswith(f"/wd/{name}") for blob in there(place, place.container))
    fetched = collect(place, tree, "**", Output("x/**", required=False))
    assert [file.path for file in fetched.files] == ["good"]


def test_a_log_is_kept_and_an_absent_one_is_no_loss(place: Any, tmp_path: Path) -> None:
    files = place.storage.outputs(place.run, place.attempt())
    blob = names.log_blob(place.run.run_id, "t", 1, "stdout")
    place.blobs.get_blob_client(place.container, blob).upload_blob(b"hello\n")
    for stream in ("stdout", "stderr"):
        url = getattr(files, stream)
        assert keep_log(url, tmp_path / stream, place.storage.filesystem) == ""
    assert (tmp_path / "stdout").read_bytes() == b"hello\n"
    assert not (tmp_path / "stderr").exists()
