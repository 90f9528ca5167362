"""Blobs as a file system: what goes in comes out, from one account and no other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from batchcore.errors import BackendError, EnvironmentNotReady
from batchcore_azure.auth import Account
from batchcore_azure.blocks import BLOCK

NAMES = (
    "a",
    "sub/b c",
    "é/ä",
    "a%20b",
    "a#b",
    "a?b",
    "a*b[1]",
    "a:b",
    "~",
    "dir/.hidden",
    "a+b&c=d",
    "x" * 200,
)


def sent(place: Any, blobs: Any, content: bytes, name: str = "a") -> str:
    path = place.directory / "source"
    path.write_bytes(content)
    blobs.put_file(str(path), f"{place.container}/{name}")
    return f"{place.container}/{name}"


def fetched(place: Any, blobs: Any, path: str) -> bytes:
    blobs.get_file(path, str(place.directory / "target"))
    return bytes((place.directory / "target").read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_a_file_keeps_its_name_and_content(place: Any, blobs: Any, name: str) -> None:
    path = sent(place, blobs, name.encode(), name)
    assert fetched(place, blobs, path) == name.encode()
    assert blobs.find(place.container) == [path]


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
def test_a_file_of_any_size_arrives_whole(place: Any, blobs: Any, size: int) -> None:
    content = os.urandom(size)
    path = sent(place, blobs, content)
    assert fetched(place, blobs, path) == content
    assert blobs.info(path)["size"] == size


def test_what_is_in_memory_is_sent_as_a_file_is(place: Any, blobs: Any) -> None:
    blobs.pipe_file(f"{place.container}/a", b"from memory")
    assert fetched(place, blobs, f"{place.container}/a") == b"from memory"


def test_a_file_is_replaced(place: Any, blobs: Any) -> None:
    sent(place, blobs, b"a longer one")
    assert fetched(place, blobs, sent(place, blobs, b"short")) == b"short"


def test_a_small_file_in_place_of_a_large_one_is_not_longer(place: Any, blobs: Any) -> None:
    (place.directory / "target").write_bytes(b"x" * 100)
    assert fetched(place, blobs, sent(place, blobs, b"short")) == b"short"


@pytest.mark.parametrize("ask", ["info", "get_file"])
def test_a_file_that_is_not_there_is_said_to_be_absent(place: Any, blobs: Any, ask: str) -> None:
    target = [str(place.directory / "target")] if ask == "get_file" else []
    with pytest.raises(FileNotFoundError):
        getattr(blobs, ask)(f"{place.container}/none", *target)


@pytest.mark.parametrize("ask", ["info", "get_file", "put_file"])
def test_a_container_that_is_not_there_is_no_absent_file(
    place: Any, blobs: Any, ask: str, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(b"x")
    ends = {"info": [], "get_file": [str(tmp_path / "f")], "put_file": []}[ask]
    begins = [str(tmp_path / "f")] if ask == "put_file" else []
    with pytest.raises(BackendError) as caught:
        getattr(blobs, ask)(*begins, "no-such-container/a", *ends)
    assert not caught.value.transient


def test_a_listing_shows_what_others_have_just_written(place: Any, blobs: Any) -> None:
    assert blobs.find(place.container) == []
    tree = place.left({"a": b"x"}).removeprefix("az://")
    assert blobs.find(tree) == [f"{tree}/a"]


def test_a_file_with_the_name_of_a_directory_hides_nothing_in_it(place: Any, blobs: Any) -> None:
    tree = place.left({"a": b"x", "a/b": b"y"}).removeprefix("az://")
    assert blobs.find(tree) == [f"{tree}/a", f"{tree}/a/b"]
    assert blobs.find(f"{tree}/a") == [f"{tree}/a/b"]


def test_an_entry_tells_size_and_md5(place: Any, blobs: Any) -> None:
    path = sent(place, blobs, b"x")
    told = blobs.info(path)
    listed = blobs.find(place.container, detail=True)[path]
    assert told["content_md5"] == listed["content_md5"]
    assert (told["size"], len(told["content_md5"])) == (1, 16)


def test_no_variable_picks_another_account(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    other = "DefaultEndpointsProtocol=http;AccountName=other;AccountKey=Q0FOQVJZ;"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", other)
    for name, value in {
        "ACCOUNT_NAME": "other",
        "ACCOUNT_KEY": "Q0FOQVJZ",
        "ACCESS_KEY": "Q0FOQVJZ",
        "SAS_TOKEN": "sig=CANARY",
        "CLIENT_ID": "other",
        "CLIENT_SECRET": "CANARY",
        "TENANT_ID": "other",
        "USE_EMULATOR": "true",
        "ANON": "true",
        "TOKEN": "CANARY",
        "ENDPOINT": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(f"AZURE_STORAGE_{name}", value)
    monkeypatch.setenv("AZURE_SKIP_SIGNATURE", "true")
    filesystem, path = place.storage.filesystem(f"az://{place.container}/a")
    for content in (b"small", os.urandom(2 * BLOCK)):
        assert fetched(place, filesystem, sent(place, filesystem, content)) == content
    assert path == f"{place.container}/a"


def test_a_wrong_key_is_refused_and_not_shown(place: Any, blobs: Any) -> None:
    wrong = Account(place.settings, place.environ | {"STORAGE_ACCOUNT_KEY": "Q0FOQVJZQ0FOQVJZ"})
    stranger = type(blobs)(wrong)
    with pytest.raises(EnvironmentNotReady) as caught:
        fetched(place, stranger, f"{place.container}/a")
    assert "Q0FOQVJZ" not in str(caught.value)
    assert "sig=" not in str(caught.value)
    stranger.close()
    wrong.close()
