"""Filling the store, each content once, and a working directory from the store."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import fsspec
import pytest

from batchcore.errors import EnvironmentNotReady, TransferError
from batchcore.model import Resource
from batchcore.plan.sources import FileHashes, PlannedFile, expand
from batchcore.transfer.files import FileRecord
from batchcore.transfer.stage import (
    local_path,
    materialise,
    resource_url,
    stage,
    still_staged,
)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Sent(dict[str, FileRecord]):
    """What arrived in a store, as the record would remember it."""

    def put(self, key: str, file: FileRecord) -> None:
        assert key not in self, "told twice"
        self[key] = file


@pytest.fixture
def planned(tmp_path: Path):
    """Return a function that plans resources whose files lie in ``in/``."""

    def plan(*resources: Resource) -> list[PlannedFile]:
        hashes = FileHashes()
        return [file for one in resources for file in expand(one, tmp_path / "in", hashes)]

    (tmp_path / "in").mkdir()
    return plan


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path, memory: str) -> str:
    return f"file://{tmp_path}/store" if request.param == "file" else memory


def content(store: str, key: str) -> bytes:
    with fsspec.open(resource_url(store, key), "rb") as stream:
        return stream.read()


def test_every_content_arrives_under_its_key(planned, store: str, tmp_path: Path) -> None:
    (tmp_path / "in" / "a").write_bytes(b"from a file")
    files = planned(Resource("a", source="a"), Resource("b", text="inline"))
    sent = Sent()
    assert stage(files, store, {}, sent.put) == 2
    assert {key: content(store, key) for key in sent} == {
        sha256(b"from a file"): b"from a file",
        sha256(b"inline"): b"inline",
    }


def test_what_arrived_is_recorded_with_size_and_digest(planned, store: str) -> None:
    sent = Sent()
    stage(planned(Resource("a", text="inline")), store, {}, sent.put)
    assert sent == {sha256(b"inline"): FileRecord(6, sha256(b"inline"))}


def test_the_same_content_is_sent_once(planned, store: str, tmp_path: Path) -> None:
    (tmp_path / "in" / "a").write_bytes(b"same")
    files = planned(*(Resource(f"f{n}", text="same") for n in range(9)), Resource("a", source="a"))
    assert stage(files, store, {}, Sent().put) == 1


def test_what_is_staged_already_is_left_alone(planned, store: str) -> None:
    files = planned(Resource("a", text="old"), Resource("b", text="new"))
    sent = Sent()
    staged = {sha256(b"old"): FileRecord(3, sha256(b"old"))}
    assert stage(files, store, staged, sent.put) == 1
    assert list(sent) == [sha256(b"new")]
    with pytest.raises(FileNotFoundError):
        content(store, sha256(b"old"))


def test_many_contents_are_all_recorded(planned, store: str) -> None:
    files = planned(*(Resource(f"f{n}", text=str(n)) for n in range(40)))
    sent = Sent()
    assert stage(files, store, {}, sent.put) == len(sent) == 40


def test_a_web_page_is_staged_with_the_digest_of_what_came(planned, store: str, site) -> None:
    files = planned(Resource("a", source=site.put("a", b"page")))
    sent = Sent()
    stage(files, store, {}, sent.put)
    assert sent == {files[0].key: FileRecord(4, sha256(b"page"))}
    assert content(store, files[0].key) == b"page"


@pytest.mark.parametrize("now", [b"other", b"longer than it was"])
def test_a_source_that_changed_since_it_was_planned_is_refused(
    planned, store: str, tmp_path: Path, now: bytes
) -> None:
    (tmp_path / "in" / "a").write_bytes(b"first")
    files = planned(Resource("a", source="a"))
    (tmp_path / "in" / "a").write_bytes(now)
    sent = Sent()
    with pytest.raises(TransferError) as caught:
        stage(files, store, {}, sent.put)
    assert "changed while the run was being started" in caught.value.reason
    assert not caught.value.transient
    assert sent == {}
    with pytest.raises(FileNotFoundError):
        content(store, files[0].key)


def test_a_web_page_that_came_cut_is_asked_for_again(planned, store: str, site) -> None:
    files = planned(Resource("a", source=site.put("a", b"the whole page")))
    site.put("a", b"the whole")
    with pytest.raises(TransferError) as caught:
        stage(files, store, {}, Sent().put)
    assert caught.value.transient


def test_a_source_that_is_gone_stays_gone(planned, store: str, tmp_path: Path) -> None:
    (tmp_path / "in" / "a").write_bytes(b"x")
    files = planned(Resource("a", source="a"))
    (tmp_path / "in" / "a").unlink()
    with pytest.raises(TransferError) as caught:
        stage(files, store, {}, Sent().put)
    assert str(tmp_path / "in" / "a") in caught.value.reason
    assert not caught.value.transient


def test_a_store_that_cannot_be_reached_may_be_tried_again(planned) -> None:
    files = planned(Resource("a", text="x"))
    with pytest.raises(TransferError) as caught:
        stage(files, "http://127.0.0.1:9/store", {}, Sent().put)
    assert caught.value.transient
    assert "could not be staged" in caught.value.reason


def test_one_bad_source_keeps_no_good_one_from_being_recorded(
    planned, store: str, tmp_path
) -> None:
    (tmp_path / "in" / "b").write_bytes(b"x")
    files = planned(Resource("a", text="good"), Resource("b", source="b"))
    (tmp_path / "in" / "b").unlink()
    sent = Sent()
    with pytest.raises(TransferError):
        stage(files, store, {}, sent.put)
    assert list(sent) == [sha256(b"good")]


def test_a_staged_file_of_this_machine_cannot_be_changed_by_accident(
    planned, tmp_path: Path
) -> None:
    store = f"file://{tmp_path}/store"
    stage(planned(Resource("a", text="x")), store, {}, Sent().put)
    place = local_path(resource_url(store, sha256(b"x")))
    assert place is not None
    assert stat.S_IMODE(place.stat().st_mode) == 0o444


@pytest.mark.parametrize(
    ("url", "path"), [("file:///a/b", Path("/a/b")), ("memory://a", None), ("az://c/a", None)]
)
def test_only_a_file_url_has_a_path(url: str, path: Path | None) -> None:
    assert local_path(url) == path


# Into a working directory.


@pytest.fixture
def ready(planned, tmp_path: Path):
    """Return a function that stages resources and puts them into a working directory."""

    def run(*resources: Resource) -> Path:
        files = planned(*resources)
        stage(files, f"file://{tmp_path}/store", {}, Sent().put)
        (tmp_path / "wd").mkdir()
        materialise(files, tmp_path / "store", tmp_path / "wd")
        return tmp_path / "wd"

    return run


def test_a_task_finds_its_files_and_nothing_else(ready) -> None:
    directory = ready(Resource("a", text="1"), Resource("in/sub/b", content=b"\0"))
    found = {str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file()}
    assert found == {"a", "in/sub/b"}
    assert (directory / "in/sub/b").read_bytes() == b"\0"


@pytest.mark.parametrize(("mode", "expected"), [(None, 0o644), ("755", 0o755), ("0400", 0o400)])
def test_a_file_has_the_mode_that_was_asked_for(ready, mode: str | None, expected: int) -> None:
    directory = ready(Resource("a", text="x", mode=mode))
    assert stat.S_IMODE((directory / "a").stat().st_mode) == expected


def test_what_a_task_does_to_its_copy_does_not_reach_the_store(ready, tmp_path: Path) -> None:
    directory = ready(Resource("a", text="x"))
    (directory / "a").write_text("changed")
    assert content(f"file://{tmp_path}/store", sha256(b"x")) == b"x"


def test_a_resource_that_is_not_in_the_store_is_staged_anew_on_the_next_try(
    planned, tmp_path: Path
) -> None:
    with pytest.raises(TransferError) as caught:
        materialise(planned(Resource("a", text="x")), tmp_path / "store", tmp_path)
    assert caught.value.reason == "resource 'a' is not in the run's store"
    assert caught.value.transient


def test_a_working_directory_that_cannot_be_written_is_named(planned, tmp_path: Path) -> None:
    files = planned(Resource("sub/a", text="x"))
    stage(files, f"file://{tmp_path}/store", {}, Sent().put)
    (tmp_path / "wd").mkdir()
    (tmp_path / "wd" / "sub").write_text("in the way")
    with pytest.raises(EnvironmentNotReady, match="sub/a cannot be written"):
        materialise(files, tmp_path / "store", tmp_path / "wd")


def test_a_full_disk_under_a_working_directory_is_named(planned, tmp_path, small_disk) -> None:
    files = planned(Resource("a", content=os.urandom(1 << 20)))
    stage(files, f"file://{tmp_path}/store", {}, Sent().put)
    with pytest.raises(TransferError, match="the disk is full"):
        materialise(files, tmp_path / "store", small_disk)


def test_what_was_deleted_from_a_local_store_is_not_said_to_be_there(
    tmp_path: Path, planned: Any
) -> None:
    store, sent = f"file://{tmp_path}/store", Sent()
    stage(planned(Resource("a", text="x"), Resource("b", text="y")), store, {}, sent.put)
    assert still_staged(store, sent) == sent
    gone = next(iter(sent))
    (tmp_path / "store" / "resources" / gone).unlink()
    assert gone not in still_staged(store, sent)


def test_a_store_in_memory_is_asked_what_it_still_has() -> None:
    memory = fsspec.filesystem("memory")
    staged = {"here": FileRecord(1, "0"), "gone": FileRecord(1, "0")}
    memory.pipe_file("/asked/resources/here", b"1")
    assert still_staged("memory://asked", staged).keys() == {"here"}
    memory.rm("/asked", recursive=True)
