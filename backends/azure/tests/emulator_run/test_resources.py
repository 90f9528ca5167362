"""Resource files from a real storage, and the codes of those that cannot be had."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient

from batchcore_azure.emulator import resources
from batchcore_azure.emulator.azurite import Storage
from batchcore_azure.emulator.blobs import Blobs, Identities
from batchcore_azure.emulator.failures import TaskFailure

IDENTITY = "/subscriptions/s/resourceGroups/g/providers/identity"
Fetch = Callable[..., list[str]]


@pytest.fixture
def fetch(tmp_path: Path, azurite_storage: Storage) -> Iterator[Fetch]:
    """Fetch resource files into a directory and return what is there then."""
    identities = Identities(azurite_storage.account, azurite_storage.key, frozenset([IDENTITY]))
    with closing(Blobs()) as blobs:

        def files(*wanted: Any) -> list[str]:
            resources.fetch(wanted, tmp_path, blobs, identities)
            found = (path for path in tmp_path.rglob("*") if path.is_file())
            return sorted(str(path.relative_to(tmp_path)) for path in found)

        yield files


@pytest.fixture
def blob(bucket: Any) -> Callable[..., str]:
    """Return the URL of a blob, with a SAS for reading."""

    def url(name: str, content: bytes | None = b"x", **permissions: bool) -> str:
        if content is not None:
            bucket.client.upload_blob(name, content)
        return bucket.url(**permissions or {"read": True}).replace("?", f"/{name}?")

    return url


def test_a_blob_lands_at_its_path_with_its_mode(
    fetch: Fetch, blob: Callable[..., str], tmp_path: Path
) -> None:
    assert fetch({"httpUrl": blob("key"), "filePath": "a/b.sh", "fileMode": "0640"}) == ["a/b.sh"]
    assert stat.S_IMODE((tmp_path / "a/b.sh").stat().st_mode) == 0o640


def test_a_file_without_a_mode_can_be_run_by_its_owner(
    fetch: Fetch, blob: Callable[..., str], tmp_path: Path
) -> None:
    fetch({"httpUrl": blob("key"), "filePath": "file"})
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o770


def test_a_large_blob_arrives_whole(fetch: Fetch, blob: Callable[..., str], tmp_path: Path) -> None:
    content = os.urandom(5 << 20)
    fetch({"httpUrl": blob("key", content), "filePath": "file"})
    assert (tmp_path / "file").read_bytes() == content


def test_the_blobs_of_a_prefix_keep_their_full_names(fetch: Fetch, bucket: Any) -> None:
    for name in ("run/a", "run/sub/grün & [x].txt", "other"):
        bucket.client.upload_blob(name, b"")
    container = bucket.url(read=True, list=True)
    assert fetch({"storageContainerUrl": container, "blobPrefix": "run/"}) == [
        "run/a",
        "run/sub/grün & [x].txt",
    ]
    assert "below/other" in fetch({"storageContainerUrl": container, "filePath": "below"})


def test_an_identity_of_the_node_needs_no_signature(fetch: Fetch, bucket: Any) -> None:
    bucket.client.upload_blob("key", b"x")
    reference = {"resourceId": IDENTITY}
    one = {"httpUrl": f"{bucket.bare}/key", "filePath": "one", "identityReference": reference}
    all_of_them = {"storageContainerUrl": bucket.bare, "identityReference": reference}
    assert fetch(one, all_of_them) == ["key", "one"]


def failure(fetch: Fetch, file: Any) -> TaskFailure:
    with pytest.raises(TaskFailure) as caught:
        fetch(file)
    return caught.value


@pytest.mark.parametrize(
    ("content", "permissions", "code"),
    [
        (None, {"read": True}, "BlobNotFound"),
        (b"x", {"write": True}, "BlobAccessDenied"),
    ],
)
def test_a_blob_that_cannot_be_read_has_its_code(
    fetch: Fetch, blob: Callable[..., str], content: Any, permissions: Any, code: str
) -> None:
    found = failure(fetch, {"httpUrl": blob("key", content, **permissions), "filePath": "f"})
    assert found.code == code
    assert found.details["FilePath"] == "f"


def test_an_expired_signature_is_denied(fetch: Fetch, bucket: Any) -> None:
    bucket.client.upload_blob("key", b"x")
    url = bucket.url(hours=-1, read=True).replace("?", "/key?")
    assert failure(fetch, {"httpUrl": url, "filePath": "f"}).code == "BlobAccessDenied"


def test_an_identity_that_the_node_does_not_have_is_denied(fetch: Fetch, bucket: Any) -> None:
    bucket.client.upload_blob("key", b"x")
    reference = {"resourceId": "another"}
    file = {"httpUrl": f"{bucket.bare}/key", "filePath": "f", "identityReference": reference}
    assert failure(fetch, file).code in {"BlobAccessDenied", "BlobNotFound"}


@pytest.mark.parametrize(
    ("permissions", "code"),
    [
        ({"read": True}, "ResourceContainerAccessDenied"),
        ({"list": True}, "BlobAccessDenied"),
    ],
)
def test_a_container_needs_reading_and_listing(
    fetch: Fetch, bucket: Any, permissions: Any, code: str
) -> None:
    bucket.client.upload_blob("key", b"x")
    assert failure(fetch, {"storageContainerUrl": bucket.url(**permissions)}).code == code


def test_a_container_that_is_not_there_has_its_code(
    fetch: Fetch, bucket: Any, blob_service: BlobServiceClient
) -> None:
    url = bucket.url(read=True, list=True)
    blob_service.delete_container(bucket.name)
    assert failure(fetch, {"storageContainerUrl": url}).code == "ResourceContainerNotFound"


def test_a_storage_that_does_not_answer_is_the_servers_fault(fetch: Fetch) -> None:
    found = failure(fetch, {"httpUrl": "http://127.0.0.1:1/a?sig=CANARY", "filePath": "f"})
    assert (found.code, found.category) == ("BlobDownloadMiscError", "ServerError")
    assert "CANARY" not in str(found.wire())


@pytest.mark.parametrize("path", ["../f", "/etc/f", "a//b", "a/./b", ""])
def test_a_path_outside_the_working_directory_is_refused(
    fetch: Fetch, blob: Callable[..., str], path: str
) -> None:
    found = failure(fetch, {"httpUrl": blob("key"), "filePath": path})
    assert found.code == "ResourceFileCreateFailed"


def test_a_file_where_a_directory_must_be_is_told(fetch: Fetch, blob: Callable[..., str]) -> None:
    fetch({"httpUrl": blob("one"), "filePath": "a"})
    found = failure(fetch, {"httpUrl": blob("two"), "filePath": "a/b"})
    assert found.code == "ResourceDirectoryCreateFailed"


def test_a_task_whose_files_cannot_be_had_never_runs(lab: Any, bucket: Any) -> None:
    missing = bucket.url(read=True).replace("?", "/missing?")
    task = lab.add(
        "true",
        resourceFiles=[{"httpUrl": missing, "filePath": "f"}],
        outputFiles=[bucket.output("../stdout.txt", "log")],
    )
    end = lab.end(task)
    assert end["failureInfo"]["code"] == "BlobNotFound"
    assert "exitCode" not in end
    assert bucket.names() == []
    assert "sig=" not in str(end)
