"""Writing what a hostile tar stream holds: no daemon needed."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcore.errors import BackendError, TransferError
from batchcore_localdocker.unpacking import unpack


@pytest.fixture
def target(tmp_path: Path) -> Path:
    made = tmp_path / "target"
    made.mkdir()
    (tmp_path / "outside").mkdir()
    return made


def entry(
    name: str, content: bytes | None = None, kind: bytes = tarfile.REGTYPE, to: str = "", **fields
) -> tuple[tarfile.TarInfo, bytes]:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, to, len(content or b"")
    for field, value in fields.items():
        setattr(made, field, value)
    return made, content or b""


def folder(name: str, mode: int = 0o755) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, kind=tarfile.DIRTYPE, mode=mode)


def packed(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", errors="surrogateescape") as archive:
        for info, content in (folder("top"), *entries):
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def is_pipe(path: Path) -> bool:
    return stat.S_ISFIFO(path.lstat().st_mode)


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_the_name_of_the_top_directory_is_left_away(target: Path) -> None:
    unpack(io.BytesIO(packed(folder("top/wd"), entry("top/wd/f", b"x"))), target)
    assert (target / "wd" / "f").read_bytes() == b"x"


@pytest.mark.parametrize(
    ("mode", "kept"),
    [(0o644, 0o644), (0o6777, 0o755), (0, 0o600), (0o400, 0o600), (0o111, 0o711)],
)
def test_permissions_are_harmless_and_the_callers(target: Path, mode: int, kept: int) -> None:
    unpack(io.BytesIO(packed(entry("top/f", b"", mode=mode, uid=12345))), target)
    assert permissions(target / "f") == kept
    assert (target / "f").stat().st_uid == os.getuid()


@pytest.mark.parametrize(("mode", "kept"), [(0o3777, 0o755), (0, 0o700), (0o500, 0o700)])
def test_a_directory_can_be_read_and_deleted(target: Path, mode: int, kept: int) -> None:
    unpack(io.BytesIO(packed(folder("top/d", mode), entry("top/d/f", b"x"))), target)
    assert permissions(target / "d") == kept
    assert (target / "d" / "f").read_bytes() == b"x"


@pytest.mark.parametrize(
    "name",
    [
        "/etc/x",
        "top/../outside/x",
        "top/./x",
        "..",
        "top//x",
        "top/link/x",
        "top/file/x",
        "top/no/x",
    ],
)
def test_nothing_is_written_outside(target: Path, name: str) -> None:
    link = entry("top/link", kind=tarfile.SYMTYPE, to="../outside")
    hostile = packed(link, entry("top/file", b""), entry(name, b"x"))
    with pytest.raises(BackendError, match="does not lie below") as caught:
        unpack(io.BytesIO(hostile), target)
    assert not caught.value.transient
    assert list((target.parent / "outside").iterdir()) == []
    assert sorted(path.name for path in target.iterdir()) == ["file", "link"]


@pytest.mark.parametrize("to", ["/etc", "../../outside", "loop", "no such", "\udcff"])
def test_a_link_is_made_as_it_is(target: Path, to: str) -> None:
    unpack(io.BytesIO(packed(entry("top/loop", kind=tarfile.SYMTYPE, to=to))), target)
    assert str((target / "loop").readlink()) == to


@pytest.mark.parametrize(
    "kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, b"Z"], ids=repr
)
def test_what_is_no_file_becomes_a_named_pipe(target: Path, kind: bytes) -> None:
    odd = entry("top/odd", kind=kind, devmajor=1, devminor=3, mode=0o4777)
    unpack(io.BytesIO(packed(odd)), target)
    assert permissions(target / "odd") == 0o600
    if kind != b"X":  # tarfile takes a kind that it does not know for a file
        assert is_pipe(target / "odd")


def test_a_hard_link_is_the_same_file(target: Path) -> None:
    linked = packed(entry("top/a", b"x"), entry("top/b", kind=tarfile.LNKTYPE, to="top/a"))
    unpack(io.BytesIO(linked), target)
    assert (target / "a").samefile(target / "b")


def test_a_hard_link_to_a_link_does_not_follow_it(target: Path) -> None:
    link = entry("top/a", kind=tarfile.SYMTYPE, to="/etc/passwd")
    unpack(io.BytesIO(packed(link, entry("top/b", kind=tarfile.LNKTYPE, to="top/a"))), target)
    assert str((target / "b").readlink()) == "/etc/passwd"


def test_a_hard_link_to_nothing_becomes_a_named_pipe(target: Path) -> None:
    unpack(io.BytesIO(packed(entry("top/b", kind=tarfile.LNKTYPE, to="top/gone"))), target)
    assert is_pipe(target / "b")


@pytest.mark.parametrize("to", ["/etc/passwd", "top/../../outside", "top/link/f"])
def test_a_hard_link_cannot_reach_outside(target: Path, to: str) -> None:
    (target.parent / "outside" / "f").write_text("secret")
    link = entry("top/link", kind=tarfile.SYMTYPE, to="../outside")
    with pytest.raises(BackendError, match="does not lie below"):
        unpack(io.BytesIO(packed(link, entry("top/b", kind=tarfile.LNKTYPE, to=to))), target)
    assert not os.path.lexists(target / "b")


@pytest.mark.parametrize(
    "first",
    [entry("top/x", b"first"), entry("top/x", kind=tarfile.SYMTYPE, to="../outside")],
    ids=["a file", "a link"],
)
@pytest.mark.parametrize(
    "second",
    [entry("top/x", b"second"), entry("top/x", kind=tarfile.SYMTYPE, to="/"), folder("top/x")],
    ids=["a file", "a link", "a directory"],
)
def test_a_name_that_comes_twice_is_neither(target: Path, first, second) -> None:
    unpack(io.BytesIO(packed(first, second)), target)
    assert is_pipe(target / "x")


def test_a_file_does_not_replace_a_directory(target: Path) -> None:
    unpack(io.BytesIO(packed(folder("top/x"), entry("top/x/f", b""), entry("top/x", b"2"))), target)
    assert (target / "x" / "f").is_file()


def test_what_replaced_the_top_directory_leaves_nothing(target: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(entry("top", kind=tarfile.SYMTYPE, to="/etc")[0])
    unpack(io.BytesIO(stream.getvalue()), target)
    assert list(target.iterdir()) == []


@given(st.data())
def test_a_stream_that_ends_early_is_never_taken_for_whole(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = packed(entry("top/" + "n" * 200, b"x" * 700), entry("top/b", b"y"))
    content = len(whole.rstrip(b"\0")) // tarfile.BLOCKSIZE + 1
    cut = data.draw(st.integers(0, content * tarfile.BLOCKSIZE))
    with pytest.raises(BackendError, match="broke off") as caught:
        unpack(io.BytesIO(whole[:cut]), tmp_path_factory.mktemp("cut"))
    assert caught.value.transient


def test_a_file_beyond_the_free_space_is_a_full_disk_before_any_of_it_is_read(
    target: Path,
) -> None:
    huge, _ = entry("top/huge")
    huge.size = 1 << 60
    stream = io.BytesIO(folder("top")[0].tobuf() + huge.tobuf())
    with pytest.raises(TransferError, match="the disk is full"):
        unpack(stream, target)
    assert (target / "huge").stat().st_size == 0


def test_zeros_become_holes(target: Path) -> None:
    content = bytes(8 << 20) + b"end" + bytes(2 << 20)
    unpack(io.BytesIO(packed(entry("top/sparse", content))), target)
    assert (target / "sparse").read_bytes() == content
    assert (target / "sparse").stat().st_blocks * 512 <= 2 << 20
