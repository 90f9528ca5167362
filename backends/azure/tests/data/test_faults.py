"""Storage that goes wrong on the way: nothing is lost, altered or believed too early."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import pytest
from azure.storage.blob import ContentSettings

from batchcore.errors import BackendError, EnvironmentNotReady, TransferError
from batchcore.states import TaskState
from batchcore.testing.faultproxy import Fault
from batchcore.transfer.collect import fetch, open_tree
from batchcore_azure.blocks import BLOCK, Changed

LARGE = os.urandom(3 * BLOCK + 7)
ONCE = [
    Fault(kind="status", status=429),
    Fault(kind="status", status=429, headers={"Retry-After": "0"}),
    Fault(kind="status", status=503),
    Fault(kind="status", status=500),
    Fault(kind="refuse"),
    Fault(kind="lose"),
    Fault(kind="cut"),
    Fault(kind="short"),
    Fault(kind="flip"),
]


def named(fault: Fault) -> str:
    return f"{fault.kind}-{fault.status}{'-after' * bool(fault.headers)}"


def put(place: Any, content: bytes) -> str:
    """Put a blob with its MD5 where it is fetched from, past the proxy."""
    md5 = bytearray(hashlib.md5(content, usedforsecurity=False).digest())
    place.blobs.get_blob_client(place.container, "a").upload_blob(
        content, overwrite=True, content_settings=ContentSettings(content_md5=md5)
    )
    return f"{place.container}/a"


def fetched(place: Any, blobs: Any, path: str) -> bytes:
    blobs.get_file(path, str(place.directory / "target"))
    return bytes((place.directory / "target").read_bytes())


@pytest.mark.parametrize("fault", ONCE, ids=named)
def test_a_small_file_arrives_whole_after_a_fault(place: Any, blobs: Any, fault: Fault) -> None:
    path = put(place, b"0123456789")
    place.proxy.add(fault)
    assert fetched(place, blobs, path) == b"0123456789"
    assert place.proxy.count("GET", "/a$") == 2


@pytest.mark.parametrize("kind", ["refuse", "cut", "short", "flip", "status"])
def test_a_large_file_arrives_whole_after_a_fault(place: Any, blobs: Any, kind: Any) -> None:
    path = put(place, LARGE)
    place.proxy.add(Fault(kind=kind, method="GET", skip=1))
    assert fetched(place, blobs, path) == LARGE


@pytest.mark.parametrize(
    "fault", [f for f in ONCE if f.kind in {"status", "refuse", "lose"}], ids=named
)
@pytest.mark.parametrize("content", [b"small", LARGE], ids=["small", "large"])
def test_a_file_is_sent_whole_after_a_fault(
    place: Any, blobs: Any, fault: Fault, content: bytes
) -> None:
    (place.directory / "source").write_bytes(content)
    place.proxy.add(fault)
    blobs.put_file(str(place.directory / "source"), f"{place.container}/b")
    kept = place.blobs.get_blob_client(place.container, "b").download_blob().readall()
    assert kept == content


def test_bytes_that_never_arrive_as_they_were_sent_are_not_kept(place: Any, blobs: Any) -> None:
    path = put(place, b"0123456789")
    place.proxy.add(Fault(kind="flip", times=99))
    with pytest.raises(TransferError, match="other bytes") as caught:
        fetched(place, blobs, path)
    assert caught.value.transient


def test_a_service_that_names_a_long_wait_is_left_to_the_driver(place: Any, blobs: Any) -> None:
    path = put(place, b"x")
    place.proxy.add(Fault(kind="status", headers={"Retry-After": "60"}, times=99))
    with pytest.raises(BackendError) as caught:
        fetched(place, blobs, path)
    assert (caught.value.transient, caught.value.retry_after) == (True, 60)
    assert place.proxy.count("GET", "/a$") == 1


def test_a_question_is_asked_again_after_too_many(place: Any, blobs: Any) -> None:
    path = put(place, b"x")
    place.proxy.add(Fault(kind="status", status=429, method="HEAD"))
    assert blobs.info(path)["size"] == 1


def test_a_listing_is_asked_for_again(place: Any, blobs: Any) -> None:
    path = put(place, b"x")
    place.proxy.add(Fault(kind="status", status=503))
    assert blobs.find(place.container) == [path]


def test_a_role_that_is_missing_is_said(place: Any, blobs: Any) -> None:
    path = put(place, b"x")
    code = {"x-ms-error-code": "AuthorizationPermissionMismatch"}
    place.proxy.add(Fault(kind="status", status=403, headers=code))
    with pytest.raises(EnvironmentNotReady, match="AuthorizationPermissionMismatch") as caught:
        fetched(place, blobs, path)
    assert "az role assignment" in caught.value.hint


def test_a_blob_that_is_replaced_while_it_is_fetched_is_not_mixed(place: Any, blobs: Any) -> None:
    put(place, LARGE)
    first = blobs._blocks.first(place.container, "a")
    put(place, LARGE[::-1])
    with (place.directory / "target").open("wb") as target, pytest.raises(Changed):
        blobs._fetch_rest(place.container, "a", first, target)


def test_outputs_are_collected_through_a_service_that_is_often_busy(place: Any) -> None:
    content = {f"f{n}": os.urandom(100) for n in range(20)}
    tree = open_tree(place.left(content), place.storage.filesystem)
    for skip in range(0, 20, 4):
        place.proxy.add(Fault(kind="status", status=429, method="GET", path="/wd/", skip=skip))
    found = fetch(
        place.planned("f*").outputs, TaskState.SUCCEEDED, tree, place.directory / "incoming"
    )
    assert {file.path: file.sha256 for file in found.files} == {
        name: hashlib.sha256(data).hexdigest() for name, data in content.items()
    }
