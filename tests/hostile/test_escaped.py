"""What root leaves who escaped every precaution of a container, and what is said of it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.docker

UNSAFE, MISSING = "output_unsafe", "output_missing"
LEAVES = "is a link that leaves the working directory"

# A directory of a name of over 4,096 characters, and a file in it.
DEEP = """
here = os.open('.', os.O_RDONLY)
os.mkdir('e1'); os.chdir('e1')
for _ in range(110): os.mkdir('x' * 40); os.chdir('x' * 40)
open('result', 'w'); os.fchdir(here)
"""

# What is done as root in the working directory, what is asked for, the reason, the words.
REFUSED: dict[str, tuple[str, str, str, str]] = {
    "link to passwd": ("os.symlink('/etc/passwd', 'a1')", "a1", UNSAFE, f"'a1' {LEAVES}"),
    "link to shadow": ("os.symlink('/etc/shadow', 'a2')", "a2", UNSAFE, f"'a2' {LEAVES}"),
    "link to the root": ("os.symlink('/', 'a3')", "a3", UNSAFE, f"'a3' {LEAVES}"),
    "below a link to the root": (
        "os.symlink('/', 'a4')",
        "a4/etc/passwd",
        UNSAFE,
        f"'a4/etc/passwd' {LEAVES}",
    ),
    "link far up": ("os.symlink('../../..', 'a5')", "a5", UNSAFE, f"'a5' {LEAVES}"),
    "link to the canary": (
        "os.symlink('../../../canary', 'a6')",
        "a6",
        UNSAFE,
        f"'a6' {LEAVES}",
    ),
    "link to its log": ("os.symlink('../stdout.txt', 'a7')", "a7", UNSAFE, f"'a7' {LEAVES}"),
    "link out and in again": ("os.symlink('../wd/good', 'a8')", "a8", UNSAFE, f"'a8' {LEAVES}"),
    "link to a process": ("os.symlink('/proc/1/environ', 'a9')", "a9", UNSAFE, f"'a9' {LEAVES}"),
    "pattern over links": ("os.symlink('/etc', 'b1')", "b[1]", UNSAFE, f"'b1' {LEAVES}"),
    "pattern below a link": ("os.symlink('/etc', 'b2')", "b2/pass*", MISSING, "'b2/pass*' was not"),
    "loop": (
        "os.symlink('b4', 'b3'); os.symlink('b3', 'b4')",
        "b3",
        UNSAFE,
        "'b3' is a link that never ends",
    ),
    "link to itself": ("os.symlink('b5', 'b5')", "b5", UNSAFE, "'b5' is a link that never ends"),
    "link to nothing": ("os.symlink('no', 'b6')", "b6", UNSAFE, "'b6' is a link to nothing"),
    "link to here": ("os.symlink('.', 'b7')", "b7", UNSAFE, "'b7' is the working directory itself"),
    "pipe": ("os.mkfifo('c1')", "c1", UNSAFE, "'c1' is a named pipe"),
    "link to a pipe": (
        "os.mkfifo('c2'); os.symlink('c2', 'c3')",
        "c3",
        UNSAFE,
        "'c3' is a named pipe",
    ),
    "endless device": (
        "os.mknod('c4', 0o666 | stat.S_IFCHR, os.makedev(1, 5))",
        "c4",
        UNSAFE,
        "'c4' is a device",
    ),
    "disk": (
        "os.mknod('c5', 0o666 | stat.S_IFBLK, os.makedev(7, 0))",
        "c5",
        UNSAFE,
        "'c5' is a device",
    ),
    "socket": (
        "socket.socket(socket.AF_UNIX).bind('c6')",
        "c6",
        UNSAFE,
        "'c6' is a socket",
    ),
    "directory": ("os.mkdir('c7')", "c7", UNSAFE, "'c7' is a directory"),
    "file for a directory": ("open('c8', 'w')", "c8/x", MISSING, "'c8/x' was not written"),
    "newline": ("put(b'd1', b'two\\nlines')", "d1/*", UNSAFE, r"'d1/two\nlines' has a control"),
    "escape": ("put(b'd2', b'\\x1b[2J')", "d2/*", UNSAFE, r"'d2/\x1b[2J' has a control"),
    "not UTF-8": ("put(b'd3', b'caf\\xe9')", "d3/*", UNSAFE, r"'d3/caf\udce9' has a control"),
    "backslash": ("put(b'd4', b'a\\\\b')", "d4/*", UNSAFE, r"'d4/a\\b' has a backslash"),
    "trailing dot": ("put(b'd5', b'a.')", "d5/*", UNSAFE, "'d5/a.' has a name ending with a dot"),
    "trailing space": ("put(b'd6', b'a ')", "d6/*", UNSAFE, "'d6/a ' has a name ending with a dot"),
    "only case differs": (
        "put(b'd7', b'a', b'A')",
        "d7/*",
        UNSAFE,
        "'d7/a' and 'd7/A' both land at 't/a'",
    ),
    "only normal form differs": (
        "put(b'd8', 'é'.encode(), 'e\\u0301'.encode())",
        "d8/*",
        UNSAFE,
        "'d8/é' and 'd8/e\u0301' both land at 't/é'",
    ),
    "deep": (
        DEEP,
        "e1/**",
        UNSAFE,
        "cannot be listed: it is longer than 900 characters",
    ),
}

# What is done, what is asked for, where it arrives. Odd, but a plain file inside.
COLLECTED: dict[str, tuple[str, str, str]] = {
    "link to a file inside": ("os.symlink('good', 'l1')", "l1", "t/l1"),
    "link to a directory inside": (
        "put(b'l2', b'good'); os.symlink('l2', 'l3')",
        "l3/*",
        "t/good",
    ),
    "hard link inside": ("os.link('good', 'l4')", "l4", "t/l4"),
    "setuid": ("put(b'm1', b'good'); os.chmod('m1/good', 0o6755)", "m1/good", "t/m1/good"),
    "closed": ("put(b'm2', b'good'); os.chmod('m2/good', 0)", "m2/good", "t/m2/good"),
    "quotes": ("""put(b'n1', b"it's\\"")""", "n1/*", """t/it's\""""),
    "URL's signs": ("put(b'n2', b'a#b?c%20d&e')", "n2/*", "t/a#b?c%20d&e"),
    "space": ("put(b'n3', b'a b')", "n3/*", "t/a b"),
    "leading space": ("put(b'n4', b' a')", "n4/*", "t/ a"),
    "leading dash": ("put(b'n5', b'-rf')", "n5/*", "t/-rf"),
    "leading dot": ("put(b'n6', b'.a')", "n6/.*", "t/.a"),
    "255 bytes": ("put(b'n7', b'x' * 255)", "n7/*", "t/" + "x" * 255),
    "not composed": ("put(b'n8', 'e\\u0301'.encode())", "n8/*", "t/é"),
    "not composed directory": (
        "put('e\\u0301'.encode(), b'good')",
        "é/*",
        "t/good",
    ),
    "not composed, named": ("put(b'n9', 'e\\u0301'.encode())", "n9/é", "t/n9/é"),
    "wildcards": ("put(b'o1', b'[*]?')", "o1/*", "t/[*]?"),
}

PUT = """
def put(folder, *names):
    os.mkdir(folder)
    for name in names:
        with open(folder + b'/' + name, 'wb') as file:
            file.write(b'good')
with open('good', 'wb') as file:
    file.write(b'good')
"""


@pytest.fixture(scope="module")
def made(hostile_root: Any) -> Any:
    """All of it together, made by one container."""
    rows = [row[0] for row in (*REFUSED.values(), *COLLECTED.values())]
    return hostile_root("\n".join([PUT, *rows]))


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    before = set(Path("/proc/self/fd").iterdir())
    yield
    assert set(Path("/proc/self/fd").iterdir()) == before


@pytest.mark.parametrize("row", REFUSED.values(), ids=list(REFUSED))
def test_what_is_refused(made: Any, row: tuple[str, str, str, str]) -> None:
    _, output, reason, words = row
    with no_descriptor_left():
        found, detail = made.refusal(output)
    assert (found, detail.isprintable()) == (reason, True)
    assert words in detail


@pytest.mark.parametrize("row", COLLECTED.values(), ids=list(COLLECTED))
def test_what_is_collected(made: Any, row: tuple[str, str, str]) -> None:
    _, output, place = row
    with no_descriptor_left():
        assert made.collect(output) == {place: b"good"}
    status = (made.outputs / place).lstat()
    assert stat.S_ISREG(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == 0o644
    assert (status.st_uid, status.st_nlink) == (os.getuid(), 1)


def test_a_container_cannot_link_a_file_outside_into_its_directory(escaped: Any) -> None:
    """A bind mount ends a hard link, also on one file system, so none has to be refused."""
    code = "try: os.link('/etc/hostname', 'out')\nexcept OSError as exc: number = exc.errno"
    left = escaped(f"{code}\nopen('number', 'w').write(str(number))")
    assert left.collect("number") == {"t/number": str(errno.EXDEV).encode()}


def test_all_that_is_good_is_collected_beside_what_is_not(escaped: Any) -> None:
    bad = "os.mkfifo('pipe'); os.symlink('/etc/passwd', 'link'); os.symlink('/', 'root')"
    left = escaped(f"{bad}\nfor n in 'az': open(n, 'w').write(n)")
    assert left.collect("**") == {"t/a": b"a", "t/z": b"z"}
    assert left.refusal("**") == (UNSAFE, f"'link' {LEAVES}")


def test_root_in_a_container_may_have_replaced_the_working_directory(escaped: Any) -> None:
    left = escaped("os.rename('/task/wd', '/task/old'); os.symlink('/etc', '/task/wd')")
    assert left.refusal("passwd") == (UNSAFE, "'passwd' cannot be opened safely: Not a directory")
    assert left.refusal("*") == (UNSAFE, "the working directory was replaced by a link")
    assert left.collect("passwd", "*", "**") == {}


def test_root_in_a_container_may_have_removed_the_working_directory(escaped: Any) -> None:
    left = escaped("os.rmdir('/task/wd')")
    words = "the working directory cannot be read: No such file or directory"
    assert left.refusal("result") == left.refusal("*") == (UNSAFE, words)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("os.symlink('/etc/passwd', log)", "is a link"),
        ("os.mkfifo(log)", "is a named pipe"),
        ("os.mkdir(log)", "is a directory"),
        ("os.mknod(log, 0o666 | stat.S_IFCHR, os.makedev(1, 5))", "is a device"),
        ("socket.socket(socket.AF_UNIX).bind(log)", "is a socket"),
    ],
    ids=["link", "pipe", "directory", "device", "socket"],
)
def test_what_is_no_log_is_not_kept(escaped: Any, code: str, words: str, kept_log: Any) -> None:
    left = escaped(f"log = '/task/stdout.txt'; {code}")
    assert kept_log(left) == (f"'stdout.txt' {words}", None)


def test_a_log_cannot_stay_a_program_with_another_s_rights(escaped: Any, kept_log: Any) -> None:
    left = escaped("open('/task/stdout.txt', 'w').write('x'); os.chmod('/task/stdout.txt', 0o6755)")
    kept: Path = kept_log(left)[1]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o644
    assert kept.read_bytes() == b"x"
