"""The verb `fetch`: every byte is verified, a copy is whole or not there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]

TWO = {"a": "printf 1 > out.txt", "b": "printf 22 > out.txt"}


@pytest.fixture
def two(ran: Call) -> str:
    """A run of two tasks, each with one file."""
    return str(ran(**TWO))


def test_files_are_listed(cli: Call, two: str) -> None:
    done = cli("fetch", two)
    rows = [line.split() for line in done.out.splitlines()[1:]]
    assert [(row[0], row[2:]) for row in rows] == [("a", ["1", "B"]), ("b", ["2", "B"])]
    assert "✓ 2 files verified" in done.err


def test_files_as_data(cli: Call, two: str) -> None:
    data = cli("fetch", two, "--json").data
    assert data["schema"] == "batchcore.files/1"
    assert [file["task"] for file in data["files"]] == ["a", "b"]
    assert data["files"][1]["sha256"] == hashlib.sha256(b"22").hexdigest()


def test_files_are_copied(cli: Call, two: str, here: Path) -> None:
    files = cli("fetch", two, "--to", "results", "--json").data["files"]
    assert [Path(file["file"]).read_text() for file in files] == ["1", "22"]
    assert all(Path(file["file"]).is_relative_to(here / "results") for file in files)


def test_one_task_alone(cli: Call, two: str) -> None:
    files = cli("fetch", two, "--task", "b", "--json").data["files"]
    assert [file["task"] for file in files] == ["b"]


def test_an_unknown_task_exits_5(cli: Call, two: str) -> None:
    assert cli("fetch", two, "--task", "c").code == 5


def test_a_changed_file_exits_7_and_is_named(cli: Call, two: str) -> None:
    file = Path(cli("fetch", two, "--json").data["files"][0]["file"])
    file.chmod(0o644)
    file.write_text("2")
    done = cli("fetch", two, "--verify-only")
    assert done.code == 7
    assert str(file) in done.err


def test_a_changed_file_replaces_no_good_copy(cli: Call, two: str) -> None:
    source = Path(cli("fetch", two, "--json").data["files"][0]["file"])
    copy = Path(cli("fetch", two, "--to", "results", "--json").data["files"][0]["file"])
    source.chmod(0o644)
    source.write_text("2")
    assert cli("fetch", two, "--to", "results").code == 7
    assert copy.read_text() == "1"


def test_no_temporary_file_stays(cli: Call, two: str, here: Path) -> None:
    cli("fetch", two, "--to", "results")
    assert not list((here / "results").rglob(".bc-*"))


def test_a_run_with_failures_is_said_to_be_one(cli: Call, ran: Call) -> None:
    done = cli("fetch", ran(a="printf 1 > out.txt", b="exit 1"))
    assert done.code == 0
    assert "note: 1 task of these has not succeeded" in done.err


def test_contradicting_options_exit_2(cli: Call, two: str) -> None:
    assert cli("fetch", two, "--to", "x", "--verify-only").code == 2
