"""Output files to a real storage: which, under which names, and the codes of failed ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient

from batchcore_azure.emulator.azurite import Storage
from batchcore_azure.emulator.blobs import Blobs, Identities
from batchcore_azure.emulator.failures import TaskFailure
from batchcore_azure.emulator.places import NodePlace, TaskPlace, task_directory
from batchcore_azure.emulator.uploads import Uploader, expand

IDENTITY = "/subscriptions/s/resourceGroups/g/providers/identity"
TREE = ("a.txt", "b.txt", ".hidden", "c[1].txt", "out/x.csv", "out/deep/y.csv", "out/.z/w.csv")
Upload = Callable[..., list[str]]


@pytest.fixture
def place(tmp_path: Path) -> TaskPlace:
    """A task that has ended and left some files."""
    made = TaskPlace(
        NodePlace(tmp_path / "node", "pool", "node"), task_directory("job", "task"), "0:0", {}
    )
    made.make()
    for name in TREE:
        path = made.working_directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    for name in ("stdout.txt", "stderr.txt"):
        (made.directory / name).write_text(name)
    return made


@pytest.fixture
def upload(place: TaskPlace, azurite_storage: Storage) -> Iterator[Upload]:
    """Upload output files and return the names of their blobs; blocks are of 1 MiB."""
    identities = Identities(azurite_storage.account, azurite_storage.key, frozenset([IDENTITY]))
    with closing(Blobs(block=1 << 20)) as blobs:
        uploader = Uploader(place, blobs, identities)

        def files(*wanted: Any, success: bool = True) -> list[str]:
            return sorted(uploader.upload(wanted, {"NAME": "a"}, success=success))

        yield files


@pytest.mark.parametrize(
    ("pattern", "path", "blobs"),
    [
        ("a.txt", "", ["a.txt"]),
        ("a.txt", "run/name", ["run/name"]),
        ("out/x.csv", "", ["x.csv"]),
        ("out/x.csv", "run/out/x.csv", ["run/out/x.csv"]),
        ("*.txt", "run", ["run/a.txt", "run/b.txt", "run/c[1].txt"]),
        ("?.txt", "run/", ["run/a.txt", "run/b.txt"]),
        ("[!a].txt", "run", ["run/b.txt"]),
        ("[a-b].txt", "run", ["run/a.txt", "run/b.txt"]),
        ("c[[]1].txt", "run", ["run/c[1].txt"]),
        ("*", "run", ["run/a.txt", "run/b.txt", "run/c[1].txt"]),
        (".*", "run", ["run/.hidden"]),
        ("out/*", "run", ["run/x.csv"]),
        ("out/**/*.csv", "run", ["run/deep/y.csv", "run/x.csv"]),
        ("**/*.csv", "run", ["run/out/deep/y.csv", "run/out/x.csv"]),
        ("out/.z/*", "run", ["run/w.csv"]),
        ("../std*.txt", "run", ["run/stderr.txt", "run/stdout.txt"]),
        ("../stdout.txt", "run/log", ["run/log"]),
        ("../wd/a.txt", "run/a", ["run/a"]),
        ("/mnt/batch/tasks/workitems/job/job-1/task/wd/a.txt", "run/a", ["run/a"]),
        ("$NAME.txt", "run/a", ["run/a"]),
        ("missing", "run/a", []),
        ("missing/*", "run", []),
        ("out", "run/a", []),
    ],
)
def test_a_pattern_decides_what_is_uploaded_and_under_which_name(
    upload: Upload, bucket: Any, pattern: str, path: str, blobs: list[str]
) -> None:
    assert upload(bucket.output(pattern, path)) == blobs
    assert bucket.names() == blobs


@pytest.mark.parametrize(
    ("when", "success", "due"),
    [
        ("tasksuccess", True, True),
        ("tasksuccess", False, False),
        ("taskfailure", True, False),
        ("taskFailure", False, True),
        ("taskcompletion", True, True),
        ("taskcompletion", False, True),
    ],
)
def test_a_condition_decides_after_which_end(
    upload: Upload, bucket: Any, when: str, success: bool, due: bool
) -> None:
    assert bool(upload(bucket.output("a.txt", "a", when), success=success)) is due


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 5 << 19])
def test_content_of_any_size_arrives_whole(
    upload: Upload, bucket: Any, place: TaskPlace, size: int
) -> None:
    content = os.urandom(size)
    (place.working_directory / "big").write_bytes(content)
    upload(bucket.output("big", "big"))
    assert bucket.read("big") == content


def test_a_blob_that_exists_is_replaced(upload: Upload, bucket: Any) -> None:
    bucket.client.upload_blob("a", b"older")
    upload(bucket.output("a.txt", "a"))
    assert bucket.read("a") == b"a.txt"


def test_an_identity_of_the_node_needs_no_signature(upload: Upload, bucket: Any) -> None:
    file = bucket.output("a.txt", "a")
    file["destination"]["container"] |= {
        "containerUrl": bucket.bare,
        "identityReference": {"resourceId": IDENTITY},
    }
    assert upload(file) == ["a"]


def code(upload: Upload, file: Any) -> str:
    with pytest.raises(TaskFailure) as caught:
        upload(file)
    assert "sig=" not in str(caught.value.wire())
    return caught.value.code


def test_a_signature_that_only_reads_is_denied(upload: Upload, bucket: Any) -> None:
    file = bucket.output("a.txt", "a")
    file["destination"]["container"]["containerUrl"] = bucket.url(read=True, list=True)
    assert code(upload, file) == "FileUploadAccessDenied"


def test_an_expired_signature_is_denied(upload: Upload, bucket: Any) -> None:
    file = bucket.output("a.txt", "a")
    file["destination"]["container"]["containerUrl"] = bucket.url(hours=-1, write=True)
    assert code(upload, file) == "FileUploadAccessDenied"


def test_a_container_that_is_not_there_has_its_code(
    upload: Upload, bucket: Any, blob_service: BlobServiceClient
) -> None:
    file = bucket.output("a.txt", "a")
    blob_service.delete_container(bucket.name)
    assert code(upload, file) == "FileUploadContainerNotFound"


def test_a_storage_that_does_not_answer_has_its_code(upload: Upload, bucket: Any) -> None:
    file = bucket.output("a.txt", "a")
    file["destination"]["container"]["containerUrl"] = "http://127.0.0.1:1/c?sig=CANARY"
    assert code(upload, file) == "FileUploadMiscError"


def test_a_link_inside_is_followed(upload: Upload, bucket: Any, place: TaskPlace) -> None:
    (place.working_directory / "link").symlink_to("out/x.csv")
    upload(bucket.output("link", "a"))
    assert bucket.read("a") == b"out/x.csv"


@pytest.mark.parametrize("target", ["/etc/hostname", "../stdout.txt", "../../../../../secret"])
@pytest.mark.parametrize("pattern", ["link", "l*"])
def test_a_link_that_leaves_the_directory_uploads_nothing(
    upload: Upload, bucket: Any, place: TaskPlace, tmp_path: Path, target: str, pattern: str
) -> None:
    (tmp_path / "secret").write_text("CANARY")
    (place.working_directory / "link").symlink_to(target)
    assert code(upload, bucket.output(pattern, "a")) == "FileUploadMiscError"
    assert bucket.names() == []


def test_a_pipe_is_no_file(upload: Upload, bucket: Any, place: TaskPlace) -> None:
    os.mkfifo(place.working_directory / "pipe")
    assert code(upload, bucket.output("pipe", "a")) == "FileUploadMiscError"


@pytest.mark.parametrize("pattern", ["../../../../../../x", "out/../../x", "/etc/passwd"])
def test_a_pattern_that_leaves_the_node_is_refused(
    upload: Upload, bucket: Any, pattern: str
) -> None:
    assert code(upload, bucket.output(pattern, "a")) == "FileUploadMiscError"


def test_variables_are_put_into_patterns() -> None:
    assert expand("$A/${B}x/$C", {"A": "1", "B": "2"}) == "1/2x/"


def test_a_failed_upload_fails_the_task_and_keeps_its_exit_code(lab: Any, bucket: Any) -> None:
    file = bucket.output("../stdout.txt", "log")
    file["destination"]["container"]["containerUrl"] = bucket.url(read=True)
    end = lab.end(lab.add("true", outputFiles=[file], constraints={"maxTaskRetryCount": 3}))
    assert (end["exitCode"], end["result"], end["retryCount"]) == (0, "failure", 0)
    assert end["failureInfo"]["code"] == "FileUploadAccessDenied"


def test_a_failed_task_is_told_by_its_exit_code_even_if_its_upload_failed(
    lab: Any, bucket: Any
) -> None:
    file = bucket.output("../stdout.txt", "log")
    file["destination"]["container"]["containerUrl"] = bucket.url(read=True)
    assert lab.failure(lab.add("false", outputFiles=[file])) == "FailureExitCode"


def test_logs_are_uploaded_from_a_task_that_ran_out_of_time(lab: Any, bucket: Any) -> None:
    task = lab.add(
        "sh -c 'echo so far; sleep 600'",
        outputFiles=[bucket.output("../stdout.txt", "log")],
        constraints={"maxWallClockTime": "PT0.5S"},
    )
    assert lab.failure(task) == "TaskEnded"
    assert bucket.read("log") == b"so far\n"
