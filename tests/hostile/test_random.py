"""Whatever lies in the working directory: fetching it ends, and brings nothing from outside."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from batchcore import paths
from batchcore.model import Output

NAMES = st.sampled_from(["a", "b", "c.csv", "A", "é", "e\u0301", "x\n", ".h", "-", "\udcff", "d."])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
OUTSIDE = ["/", "/etc", "..", "../..", "../../canary", "../../outside", "../../pipe", "../wd"]
TARGETS = st.one_of(PATHS, PATHS.map("../{}".format), st.sampled_from([*OUTSIDE, ".", "./a"]))
KINDS = st.sampled_from(["file", "directory", "pipe", "socket", "link", "hard link", "closed"])
LEFT = st.lists(st.tuples(KINDS, PATHS, TARGETS), max_size=15)
OUTPUTS = st.sampled_from(["a", "a/b", "a/canary", "b/c.csv", "é", "*", "**", "*/*", "a/**", ".*"])


def make(wd: Path, kind: str, name: str, target: str) -> None:
    """Make one thing; what is in the way stays."""
    path = wd / name
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not through a link that leads outside: what is ours there must stay as it is.
        if not path.parent.resolve().is_relative_to(wd.resolve()) or os.path.lexists(path):
            return
        if kind == "file":
            path.write_bytes(b"inside " + os.fsencode(name))
        elif kind == "directory":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(path))
        elif kind == "link":
            path.symlink_to(target)
        elif kind == "hard link":
            os.link(wd / "a", path, follow_symlinks=False)
        else:
            path.touch(0o4000)


def contents(wd: Path) -> set[bytes]:
    """Return the content of every regular file inside."""
    found = (Path(folder, name) for folder, _, names in os.walk(wd) for name in names)
    return {path.read_bytes() for path in found if stat.S_ISREG(path.lstat().st_mode)}


@settings(max_examples=150, deadline=None)
@given(things=LEFT, outputs=st.lists(OUTPUTS, min_size=1, max_size=3, unique=True))
def test_fetching_ends_and_brings_nothing_from_outside(
    new_place: Any, things: list[tuple[str, str, str]], outputs: list[str]
) -> None:
    with new_place() as left:
        surroundings(left)
        for thing in things:
            make(left.wd, *thing)
        inside = contents(left.wd)
        fetched = left.fetch(*(Output(path, to=f"o{n}") for n, path in enumerate(outputs)))
        arrived = sorted(left.incoming.iterdir()) if left.incoming.exists() else []
        assert len(arrived) == len(fetched.files)
        for path in arrived:
            assert stat.S_ISREG(path.lstat().st_mode)
            assert path.lstat().st_nlink == 1
            assert path.read_bytes() in inside
        words = fetched.refused.detail if fetched.refused else ""
        assert words.isprintable()
        assert "hidden" not in words


def surroundings(left: Any) -> None:
    """Put beside the task what must not be read, or would block who opens it."""
    (left.root / "outside").mkdir()
    (left.root / "outside" / "hidden.csv").write_bytes(b"not from inside")
    os.mkfifo(left.root / "pipe")


SEGMENTS = st.sampled_from(["a", "b", ".h", "*", "**", "?", "[ab]", "a*"])
PATTERNS = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join)


@given(pattern=PATTERNS, path=st.lists(st.sampled_from(["a", "b", ".h", "ab"]), min_size=2))
def test_a_pattern_reaches_every_directory_in_which_it_matches(
    pattern: str, path: list[str]
) -> None:
    name = "/".join(path)
    if paths.matches(pattern, name):
        assert all(paths.reaches(pattern, directory) for directory in paths.above(name))
