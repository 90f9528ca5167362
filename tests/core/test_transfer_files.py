"""Writing whole files, and opening files beneath a directory that cannot be trusted."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from batchcore.errors import BatchcoreError, EnvironmentNotReady, TransferError
from batchcore.transfer.files import (
    FileRecord,
    UnsafeFile,
    copy,
    open_beneath,
    resolve,
    whole_file,
    write_error,
    write_whole,
)
from conftest import lacking


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


# Writing.


def test_a_file_appears_whole_with_its_mode(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file"
    with whole_file(target, mode=0o600) as stream:
        stream.write(b"content")
        assert not target.exists()
    assert target.read_bytes() == b"content"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_an_error_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def write() -> None:
        with whole_file(target) as stream:
            stream.write(b"new" * 100_000)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert target.read_bytes() == b"old"
    assert names_in(tmp_path) == ["file"]


def test_the_content_is_replaced_and_not_written_into(tmp_path: Path) -> None:
    target, other = tmp_path / "file", tmp_path / "other"
    target.write_bytes(b"old")
    other.hardlink_to(target)
    write_whole(target, b"new")
    assert (target.read_bytes(), other.read_bytes()) == (b"new", b"old")


def test_a_link_in_place_of_the_target_is_replaced_and_not_followed(tmp_path: Path) -> None:
    precious, target = tmp_path / "precious", tmp_path / "target"
    precious.write_bytes(b"old")
    target.symlink_to(precious)
    write_whole(target, b"new")
    assert precious.read_bytes() == b"old"
    assert not target.is_symlink()


def test_a_name_of_255_bytes_has_room_for_its_temporary(tmp_path: Path) -> None:
    write_whole(tmp_path / ("x" * 255), b"content")
    assert names_in(tmp_path) == ["x" * 255]


def test_a_full_disk_is_named_and_the_old_file_stays(small_disk: Path) -> None:
    target = small_disk / "file"
    target.write_bytes(b"old")
    with pytest.raises(TransferError) as caught, whole_file(target) as stream:
        stream.write(b"x" * (4 << 20))
    assert caught.value.reason == f"the disk is full: {target} cannot be written"
    assert caught.value.where == str(target)
    assert "nothing is lost" in caught.value.hint
    assert not caught.value.transient
    assert target.read_bytes() == b"old"
    assert names_in(small_disk) == ["file"]


def test_a_disk_that_is_full_only_at_the_end_is_found_out(small_disk: Path) -> None:
    room = os.statvfs(small_disk)
    (small_disk / "filling").write_bytes(b"x" * (room.f_bavail * room.f_frsize - 4096))
    with pytest.raises(TransferError, match="the disk is full"):
        write_whole(small_disk / "file", b"x" * 6000)  # less than what is written at once
    assert not (small_disk / "file").exists()


def test_a_directory_without_permission_is_for_the_user_to_mend(
    open_directory: Path, without_rights
) -> None:
    open_directory.chmod(0o555)
    target = open_directory / "file"
    with without_rights(), pytest.raises(EnvironmentNotReady) as caught:
        write_whole(target, b"x")
    assert caught.value.reason == f"{target} cannot be written: Permission denied"
    assert caught.value.hint == "choose another directory, or change its owner"
    assert caught.value.error_code == "BC6001"


def test_a_file_where_a_directory_must_be_is_for_the_user_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EnvironmentNotReady):
        write_whole(tmp_path / "file" / "below", b"x")


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, TransferError),
        (errno.EDQUOT, TransferError),
        (errno.EIO, TransferError),
        (errno.EACCES, EnvironmentNotReady),
        (errno.EROFS, EnvironmentNotReady),
        (errno.ENOTDIR, EnvironmentNotReady),
    ],
    ids=errno.errorcode.get,
)
def test_every_failed_write_names_the_file(number: int, kind: type[BatchcoreError]) -> None:
    error = write_error(Path("/out/a"), OSError(number, os.strerror(number)))
    assert isinstance(error, kind)
    assert "/out/a cannot be written" in error.reason


def test_a_copy_says_what_was_copied() -> None:
    content = os.urandom(3 << 20)
    target = io.BytesIO()
    record = copy(io.BytesIO(content), target)
    assert target.getvalue() == content
    assert record == FileRecord(len(content), hashlib.sha256(content).hexdigest())


class Broken(io.RawIOBase):
    """A connection that breaks after its first bytes, with an error of a foreign kind."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self._sent = False

    def read(self, _size: int = -1) -> bytes:
        if self._sent:
            raise self._error
        self._sent = True
        return b"first"


@pytest.mark.parametrize("error", [ConnectionResetError("reset"), ValueError("odd")], ids=repr)
def test_a_source_that_breaks_off_is_no_fault_of_the_target(
    tmp_path: Path, error: Exception
) -> None:
    with pytest.raises(TransferError) as caught, whole_file(tmp_path / "a") as target:
        copy(Broken(error), target, "the page")
    assert caught.value.transient
    assert caught.value.reason.startswith("the page could not be read to its end")
    assert names_in(tmp_path) == []


# Reading what a worker has left.

SECRET = b"not for the worker"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A working directory beside something that nobody may read from inside."""
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(SECRET)
    root = tmp_path / "wd"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "file").write_bytes(b"inside")
    (root / "sub" / "file").write_bytes(b"in sub")
    return root


def link(root: Path, name: str, target: str) -> None:
    (root / name).symlink_to(target)


def read(root: Path, name: str) -> bytes:
    with open_beneath(root, name) as stream:
        return stream.read()


def test_a_plain_file_is_opened(hostile: Path) -> None:
    assert read(hostile, "sub/file") == b"in sub"


@pytest.mark.parametrize(
    ("name", "target", "content"),
    [
        ("a", "file", b"inside"),
        ("a", "./sub/../file", b"inside"),
        ("sub/a", "../file", b"inside"),
        ("sub/deep/a", "../../sub/file", b"in sub"),
        ("a", "sub//file", b"in sub"),
    ],
)
def test_a_link_that_stays_inside_is_followed(
    hostile: Path, name: str, target: str, content: bytes
) -> None:
    link(hostile, name, target)
    assert read(hostile, name) == content


def test_links_to_directories_and_to_links_are_followed(hostile: Path) -> None:
    link(hostile, "latest", "sub")
    link(hostile, "sub/up", "..")
    link(hostile, "first", "latest/up/second")
    link(hostile, "second", "file")
    assert read(hostile, "latest/file") == b"in sub"
    assert read(hostile, "latest/up/file") == b"inside"
    assert read(hostile, "first") == b"inside"


ESCAPES: dict[str, tuple[str, str, str]] = {
    # what is linked, where to, what is opened
    "up to a file": ("a", "../secret", "a"),
    "up from a directory": ("sub/a", "../../secret", "sub/a"),
    "far up": ("a", "../" * 60 + "etc/passwd", "a"),
    "to a directory outside": ("a", "../outside", "a/file"),
    "to the parent": ("a", "..", "a/secret"),
    "to the root": ("a", "/", "a/etc/passwd"),
    "absolute": ("a", "/etc/passwd", "a"),
    "down and up again": ("a", "sub/deep/../../../secret", "a"),
    "through itself": ("a", "../wd/../secret", "a"),
    "back in again": ("a", "../wd/file", "a"),
    "to the device of zeros": ("a", "/dev/zero", "a"),
    "to a process": ("a", "/proc/self/environ", "a"),
}


@pytest.mark.parametrize(("name", "target", "opened"), ESCAPES.values(), ids=list(ESCAPES))
def test_a_link_that_leaves_is_refused(hostile: Path, name: str, target: str, opened: str) -> None:
    link(hostile, name, target)
    with pytest.raises(UnsafeFile, match="is a link that leaves the working directory"):
        open_beneath(hostile, opened)


def test_an_absolute_link_is_refused_also_where_it_leads_inside(hostile: Path) -> None:
    # Inside a container the same path is another file.
    link(hostile, "a", str(hostile / "file"))
    with pytest.raises(UnsafeFile):
        open_beneath(hostile, "a")


def test_a_name_that_climbs_is_refused(hostile: Path) -> None:
    with pytest.raises(UnsafeFile):
        open_beneath(hostile, "../secret")


def test_a_loop_of_links_is_refused(hostile: Path) -> None:
    link(hostile, "a", "b")
    link(hostile, "b", "a")
    with pytest.raises(UnsafeFile, match="never ends"):
        open_beneath(hostile, "a")


def test_a_link_to_nothing_is_no_file(hostile: Path) -> None:
    link(hostile, "a", "nowhere")
    with pytest.raises(FileNotFoundError):
        open_beneath(hostile, "a")


@pytest.mark.parametrize("name", [".", "sub/..", ""])
def test_the_directory_itself_is_refused(hostile: Path, name: str) -> None:
    with pytest.raises(UnsafeFile, match="is the working directory itself"):
        resolve(hostile, name)


def make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's whole path has 107 bytes at most
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def make_device(path: Path) -> None:
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        lacking("only root may make a device")


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (os.mkfifo, "a named pipe"),
        (make_socket, "a socket"),
        (make_device, "a device"),
        (os.mkdir, "a directory"),
    ],
    ids=["pipe", "socket", "device", "directory"],
)
@pytest.mark.parametrize("linked", [False, True], ids=["itself", "linked"])
def test_what_is_no_regular_file_is_refused_at_once(
    hostile: Path, make: Callable[[Path], None], kind: str, linked: bool
) -> None:
    make(hostile / "odd")
    link(hostile, "a", "odd")
    with pytest.raises(UnsafeFile, match=f"is {kind}"):
        open_beneath(hostile, "a" if linked else "odd")


def test_a_file_below_a_file_is_refused(hostile: Path) -> None:
    with pytest.raises((UnsafeFile, FileNotFoundError)):
        open_beneath(hostile, "file/below")


def test_a_working_directory_that_was_replaced_by_a_link_is_refused(
    hostile: Path, tmp_path: Path
) -> None:
    hostile.rename(tmp_path / "moved")
    hostile.symlink_to("outside")
    with pytest.raises(UnsafeFile):
        open_beneath(hostile, "file")


@pytest.mark.parametrize(
    "name",
    [
        b"two\nlines",
        b'it\'s "quoted"',
        b"a#b?c%20d&e",
        b"-rf",
        b" ",
        b"caf\xe9",
        b"\xff\xfe",
        b"x" * 255,
        "ü".encode(),
        b"a\\b",
        b"\x1b[31m",
    ],
)
def test_any_name_that_a_file_system_allows_can_be_opened(hostile: Path, name: bytes) -> None:
    path = os.fsdecode(name)
    (hostile / path).write_bytes(b"odd")
    assert read(hostile, path) == b"odd"


def test_a_refusal_of_any_name_can_be_printed_and_stored(hostile: Path) -> None:
    name = os.fsdecode(b"\xff\n\x1b")
    link(hostile, name, "/etc/passwd")
    with pytest.raises(UnsafeFile) as caught:
        open_beneath(hostile, name)
    assert str(caught.value).isprintable()
    assert str(caught.value).encode()


def test_a_setuid_file_is_read_like_any_other(hostile: Path) -> None:
    (hostile / "file").chmod(0o4755)
    assert read(hostile, "file") == b"inside"


def test_no_descriptor_is_left_open(hostile: Path, descriptors) -> None:
    os.mkfifo(hostile / "pipe")
    link(hostile, "out", "../secret")
    link(hostile, "loop", "loop")
    link(hostile, "nowhere", "missing")
    names = [
        "sub/file",
        "pipe",
        "out",
        "loop",
        "nowhere",
        "sub",
        "file/x",
        "missing/x",
        "sub/deep/x",
    ]
    before = descriptors()
    for name in names * 5:
        try:
            open_beneath(hostile, name).close()
        except (UnsafeFile, FileNotFoundError):
            continue
    assert descriptors() == before
