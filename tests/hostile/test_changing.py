"""What changes while it is collected, what is closed, and what is too much."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from batchcore.errors import TransferError
from batchcore.model import Output
from batchcore.transfer import files, trees
from batchcore.transfer.files import UnsafeFile, directory_beneath, open_beneath
from batchcore.transfer.trees import LocalTree
from conftest import lacking

UNSAFE, MISSING = "output_unsafe", "output_missing"
NOBODY = 65534
CHANGED = "was changed while it was collected: the task left a process behind"


# Written to while it is copied.


def copied_while(left: Any, change: Callable[[Path], object]) -> str:
    """Copy a file that is changed in the middle, and return how that is refused."""
    path = left.wd / "a"
    path.write_bytes(b"x" * 1000)
    os.utime(path, (1, 1))  # so that the change is not in the same tick of the file system
    tree = LocalTree(left.wd)
    with tree.open("a") as stream, files.whole_file(left.incoming / "0") as copy:
        before = tree.stamp(stream)
        change(path)
        record = files.copy(stream, copy, "a", before.size)
        with pytest.raises(UnsafeFile) as caught:
            tree.verify("a", stream, before, record)
    return str(caught.value)


def in_place(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.write(b"y")


def longer(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"y" * (5 << 20))


@pytest.mark.parametrize(
    "change", [longer, in_place, lambda path: os.truncate(path, 10)], ids=["end", "middle", "cut"]
)
def test_a_file_that_changed_while_it_was_copied_is_refused(left: Any, change: Any) -> None:
    assert copied_while(left, change) == f"'a' {CHANGED}"


def test_a_copy_does_not_follow_a_file_that_grows_without_end(left: Any) -> None:
    (left.wd / "a").write_bytes(b"x" * 10)
    with (left.wd / "a").open("rb") as stream, (left.root / "copy").open("wb") as copy:
        longer(left.wd / "a")
        assert files.copy(stream, copy, "a", 10).size <= 10 + files.CHUNK


@pytest.fixture
def writer(left: Any) -> Iterator[None]:
    """Something that outlived the task and goes on writing to its file."""
    path, written, stop = left.wd / "a", threading.Event(), threading.Event()

    def write() -> None:
        with path.open("ab", buffering=0) as stream:
            while not stop.is_set() and stream.tell() < 1 << 30:
                stream.write(b"y" * 4096)
                written.set()

    thread = threading.Thread(target=write)
    thread.start()
    written.wait()
    yield
    stop.set()
    thread.join()


def test_what_is_being_written_is_refused_or_whole(left: Any, writer: None) -> None:
    left.collect("a")  # compares what is in outputs/ with its SHA-256
    assert left.refusal("a") in {(UNSAFE, f"'a' {CHANGED}"), ("", "")}


# Replaced between two steps.


def test_a_file_that_was_removed_after_the_listing_is_named(left: Any) -> None:
    (left.wd / "a").write_bytes(b"x")
    tree = LocalTree(left.wd)
    assert tree.names() == ["a"]
    (left.wd / "a").unlink()
    with pytest.raises(UnsafeFile, match=r"^'a' was removed by now$"):
        tree.open("a")


def test_a_directory_that_became_a_link_after_the_listing_is_not_entered(left: Any) -> None:
    (left.wd / "sub").mkdir()
    (left.wd / "sub" / "canary").write_bytes(b"x")
    tree = LocalTree(left.wd)
    assert tree.names() == ["sub/canary"]
    (left.wd / "sub").rename(left.wd / "old")
    (left.wd / "sub").symlink_to(left.root)
    with pytest.raises(UnsafeFile, match=r"^'sub/canary' is a link that leaves"):
        tree.open("sub/canary")


@pytest.mark.parametrize("inner", ["sub", "sub/deep"])
def test_a_directory_that_became_a_link_after_it_was_looked_at_is_not_listed(
    left: Any, inner: str
) -> None:
    (left.root / "deep").mkdir()
    (left.wd / "sub").symlink_to(left.root)
    with pytest.raises(NotADirectoryError), directory_beneath(left.wd, inner):
        pass


@pytest.mark.parametrize(
    "put",
    [
        lambda left: (left.wd / "sub").symlink_to(left.root),
        lambda left: (left.wd / "sub").mkdir() or (left.wd / "sub/canary").symlink_to(left.canary),
        lambda left: (left.wd / "sub").mkdir() or os.mkfifo(left.wd / "sub/canary"),
    ],
    ids=["directory by a link", "file by a link", "file by a pipe"],
)
def test_what_is_replaced_after_it_was_resolved_is_refused(
    left: Any, put: Callable[[Any], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(_root: Path, name: str) -> str:
        put(left)  # the worker is faster
        return name

    monkeypatch.setattr(files, "resolve", resolve)
    with pytest.raises(UnsafeFile, match=r"'sub/canary' (is a|cannot be opened safely)"):
        open_beneath(left.wd, "sub/canary")


@pytest.mark.parametrize("put", [lambda path: path.symlink_to("../../canary"), os.mkfifo])
def test_what_is_replaced_after_it_was_looked_at_is_refused(
    left: Any, put: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, look = left.wd / "a", os.lstat
    path.write_bytes(b"x")

    def lstat(name: str, *, dir_fd: int) -> os.stat_result:
        seen = look(name, dir_fd=dir_fd)
        path.unlink()
        put(path)
        return seen

    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", lstat)
        with pytest.raises(UnsafeFile, match=r"'a' (is a named pipe|cannot be opened safely)"):
            open_beneath(left.wd, "a")


# A hard link.


def test_a_hard_link_is_collected_as_a_file_of_its_own(left: Any) -> None:
    """Whoever could make it could read the file; what is collected shares nothing with it."""
    os.link(left.canary, left.wd / "a")
    content = left.canary.read_bytes()
    assert left.collect("a") == {"t/a": content}
    (left.outputs / "t" / "a").write_bytes(b"changed")
    assert left.canary.read_bytes() == content


def test_a_log_that_has_a_second_name_is_copied(left: Any, kept_log: Any) -> None:
    os.link(left.canary, left.task / "stdout.txt")
    kept = kept_log(left)[1]
    assert not kept.samefile(left.canary)


# Closed to the caller.


@pytest.fixture
def as_nobody(left: Any) -> Callable[[], AbstractContextManager[None]]:
    """A block in which the directory is the caller's own, and permissions count."""

    @contextmanager
    def block() -> Iterator[None]:
        before = os.geteuid()
        if before == 0:
            subprocess.run(["chown", "-R", str(NOBODY), str(left.root)], check=True)
            os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(before)

    return block


def test_a_file_without_permission_is_refused(left: Any, as_nobody: Any) -> None:
    (left.wd / "a").touch(0o000)
    with as_nobody():
        words = "'a' cannot be opened safely: Permission denied"
        assert left.refusal("a") == left.refusal("*") == (UNSAFE, words)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("closed/a", "'closed/a' cannot be read: Permission denied"),
        (Output("closed/a", required=False), "'closed/a' cannot be read: Permission denied"),
        ("closed/*", "the directory 'closed' cannot be listed: Permission denied"),
        ("**/a", "the directory 'closed' cannot be listed: Permission denied"),
        (
            Output("*/a", required=False),
            "the directory 'closed' cannot be listed: Permission denied",
        ),
    ],
    ids=str,
)
def test_what_may_lie_in_a_directory_without_permission_is_refused(
    left: Any, as_nobody: Any, output: Any, words: str
) -> None:
    (left.wd / "closed").mkdir(0o000)
    with as_nobody():
        assert left.refusal(output) == (UNSAFE, words)


@pytest.mark.parametrize("output", ["a.csv", "*.csv", "open/*", "[a-b].csv", "o*/*.csv"])
def test_a_closed_directory_does_not_matter_to_outputs_that_lie_elsewhere(
    left: Any, as_nobody: Any, output: str
) -> None:
    (left.wd / "closed").mkdir(0o000)
    (left.wd / "open").mkdir()
    for place in (left.wd, left.wd / "open"):
        (place / "a.csv").write_bytes(b"x")
    with as_nobody():
        assert left.refusal(output) == ("", "")
        assert len(left.collect(output)) == 1


# Too much.


def test_a_hole_that_does_not_fit_is_refused_before_it_is_copied(left: Any) -> None:
    (left.wd / "a").touch()
    os.truncate(left.wd / "a", 15 << 40)
    reason, words = left.refusal("a")
    assert reason == UNSAFE
    assert words.startswith("'a' is mostly a hole: its 15360.0 GiB do not fit into the ")
    assert list(left.incoming.glob("*")) == []


def test_a_hole_that_fits_is_collected(left: Any) -> None:
    (left.wd / "a").touch()
    os.truncate(left.wd / "a", 1 << 20)
    assert left.collect("a") == {"t/a": bytes(1 << 20)}


def test_a_whole_file_that_does_not_fit_is_the_disk_s_fault(left: Any) -> None:
    (left.wd / "a").write_bytes(os.urandom(2 << 20))
    left.incoming.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(left.incoming)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        lacking("no small file system can be mounted here (it takes root)")
    try:
        with pytest.raises(TransferError) as caught:
            left.fetch("a")
    finally:
        subprocess.run(["umount", "-l", str(left.incoming)], check=True)
    assert caught.value.reason == (
        "the disk is full: the 2.0 MiB do not fit into the 1.0 MiB that are free, to collect 'a'"
    )
    assert "nothing is lost" in caught.value.hint


def test_too_many_names_are_refused_and_named_files_collected(
    left: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "MOST_NAMES", 1000)
    for number in range(1001):
        (left.wd / str(number)).touch()
    assert left.refusal("*") == (UNSAFE, "the working directory has over 1000 names")
    assert left.collect("7") == {"t/7": b""}


def test_a_detail_stays_short_whatever_the_names(left: Any) -> None:
    for letter in "abcdefghij":
        (left.wd / (letter * 250)).touch()
    for output in ("missing", "*"):
        (left.wd / ("\x1b" * 250)).touch()
        assert len(left.refusal(output)[1]) < 1000
