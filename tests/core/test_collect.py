"""Reading what an ended task left: choose by pattern, fetch, verify, publish by rename."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from batchcore.errors import EnvironmentNotReady, TransferError
from batchcore.model import Job, Output, Task
from batchcore.plan import plan_job
from batchcore.states import FailureReason, TaskState
from batchcore.transfer import trees
from batchcore.transfer.collect import (
    Collected,
    Fetched,
    discard,
    fetch,
    open_tree,
    publish,
    withdraw,
)
from batchcore.transfer.logs import keep_log

SUCCEEDED, FAILED, CANCELED = TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELED


class Attempt:
    """What a task left, in a directory or in a store, and where it is collected to."""

    def __init__(self, root: Path, url: str) -> None:
        self.root = root
        self.url = url
        self.incoming = root / "incoming"
        self.outputs = root / "outputs"

    def left(self, files: dict[str, bytes] | Iterable[str]) -> None:
        files = files if isinstance(files, dict) else dict.fromkeys(files, b"x")
        for name, content in files.items():
            if self.url.startswith("memory:"):
                fsspec.filesystem("memory").pipe(f"{self.url}/{name}", content)
            else:
                path = self.wd / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)

    @property
    def wd(self) -> Path:
        return Path(self.url.removeprefix("file://"))

    def fetch(self, *outputs: Output | str, ended: TaskState = SUCCEEDED) -> Fetched:
        job = Job("j", command=["x"], tasks=[Task("t", outputs=outputs)])
        planned = plan_job(job, base=self.root).tasks[0].outputs
        return fetch(planned, ended, open_tree(self.url), self.incoming)

    def collect(self, *outputs: Output | str, ended: TaskState = SUCCEEDED) -> dict[str, bytes]:
        publish(self.fetch(*outputs, ended=ended), self.outputs)
        return self.published()

    def published(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.outputs)): path.read_bytes()
            for path in sorted(self.outputs.rglob("*"))
            if path.is_file()
        }


@pytest.fixture
def local(tmp_path: Path) -> Attempt:
    (tmp_path / "wd").mkdir()
    return Attempt(tmp_path, f"file://{tmp_path}/wd")


@pytest.fixture
def remote(tmp_path: Path, memory: str) -> Attempt:
    return Attempt(tmp_path, memory)


@pytest.fixture(params=["local", "remote"])
def attempt(request: pytest.FixtureRequest) -> Attempt:
    return request.getfixturevalue(request.param)


def reason(fetched: Fetched) -> FailureReason | None:
    return fetched.refused.reason if fetched.refused else None


# What is chosen, and where it goes.


@pytest.mark.parametrize(
    ("output", "found"),
    [
        ("a.csv", ["t/a.csv"]),
        ("sub/c.csv", ["t/sub/c.csv"]),
        (Output("a.csv", to="all/first.csv"), ["all/first.csv"]),
        ("*.csv", ["t/a.csv", "t/b.csv"]),
        (Output("*.csv", to="all"), ["all/a.csv", "all/b.csv"]),
        ("**/*.csv", ["t/a.csv", "t/b.csv", "t/sub/c.csv", "t/sub/deep/d.csv"]),
        ("sub/*.csv", ["t/c.csv"]),
        ("sub/**", ["t/c.csv", "t/deep/d.csv"]),
        ("[!a].csv", ["t/b.csv"]),
        (".*", ["t/.hidden"]),
        ("a[*].txt", ["t/a*.txt"]),
    ],
    ids=str,
)
def test_an_output_collects_what_it_names(
    attempt: Attempt, output: Output | str, found: list[str]
) -> None:
    attempt.left(["a.csv", "b.csv", "sub/c.csv", "sub/deep/d.csv", ".hidden", "a*.txt", "ab.txt"])
    assert list(attempt.collect(output)) == found


def test_what_is_collected_is_what_was_left(attempt: Attempt) -> None:
    content = os.urandom(3 << 20)
    attempt.left({"a": content, "empty": b""})
    fetched = attempt.fetch("a", "empty")
    assert fetched.files == (
        Collected("a", "t/a", len(content), hashlib.sha256(content).hexdigest()),
        Collected("empty", "t/empty", 0, hashlib.sha256(b"").hexdigest()),
    )
    publish(fetched, attempt.outputs)
    assert attempt.published() == {"t/a": content, "t/empty": b""}


def test_a_file_that_two_outputs_name_is_fetched_once(attempt: Attempt) -> None:
    attempt.left(["a.csv"])
    fetched = attempt.fetch("*.csv", "a*")
    assert (len(fetched.files), fetched.refused) == (1, None)


def test_a_file_can_be_collected_to_two_places(attempt: Attempt) -> None:
    attempt.left({"a": b"x"})
    assert attempt.collect(Output("a", to="x"), Output("a", to="y")) == {"x": b"x", "y": b"x"}


@pytest.mark.parametrize(
    ("when", "ended", "due"),
    [
        ("success", SUCCEEDED, True),
        ("success", FAILED, False),
        ("success", CANCELED, False),
        ("failure", SUCCEEDED, False),
        ("failure", FAILED, True),
        ("failure", CANCELED, False),
        ("always", SUCCEEDED, True),
        ("always", FAILED, True),
        ("always", CANCELED, True),
    ],
)
def test_an_output_is_due_after_the_end_that_it_names(
    attempt: Attempt, when: Any, ended: TaskState, due: bool
) -> None:
    attempt.left(["a"])
    assert bool(attempt.fetch(Output("a", when=when), ended=ended).files) is due


# What is missing.


def test_a_required_output_that_is_missing_comes_with_what_was_found(attempt: Attempt) -> None:
    attempt.left(["result.txt", "sub/log"])
    fetched = attempt.fetch("result.csv")
    assert reason(fetched) is FailureReason.OUTPUT_MISSING
    assert fetched.refused is not None
    assert fetched.refused.detail == (
        "'result.csv' was not written; the task left 'result.txt', 'sub/log'"
    )


def test_a_required_pattern_that_matches_nothing_is_missing(attempt: Attempt) -> None:
    fetched = attempt.fetch("*.csv")
    assert fetched.refused is not None
    assert fetched.refused.detail == "'*.csv' was not written; the task left no file"


def test_a_long_list_of_what_was_found_is_cut(attempt: Attempt) -> None:
    attempt.left([f"f{n:02}" for n in range(30)])
    fetched = attempt.fetch("result.csv")
    assert fetched.refused is not None
    assert fetched.refused.detail.endswith("'f07' and 22 more")


def test_an_output_that_is_not_required_may_be_missing(attempt: Attempt) -> None:
    assert (
        attempt.fetch(Output("a", required=False), Output("*.csv", required=False)).refused is None
    )


def test_nothing_is_missing_after_a_failure(attempt: Attempt) -> None:
    assert attempt.fetch(Output("a", when="always"), ended=FAILED).refused is None


def test_the_other_outputs_are_fetched_all_the_same(attempt: Attempt) -> None:
    attempt.left({"b": b"x"})
    fetched = attempt.fetch("a", "b")
    assert reason(fetched) is FailureReason.OUTPUT_MISSING
    publish(fetched, attempt.outputs)
    assert attempt.published() == {"t/b": b"x"}


# What is unsafe.


def unsafe(attempt: Attempt, *outputs: Output | str) -> str:
    fetched = attempt.fetch(*outputs)
    assert reason(fetched) is FailureReason.OUTPUT_UNSAFE
    assert fetched.refused is not None
    assert fetched.refused.detail.isprintable()
    return fetched.refused.detail


@pytest.mark.parametrize("output", ["odd", "*", "**"])
@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.symlink_to("/etc/passwd"),
        lambda path: path.symlink_to("../secret"),
        lambda path: path.symlink_to(".."),
        lambda path: path.symlink_to("odd"),
        lambda path: path.symlink_to("missing"),
        lambda path: path.symlink_to("."),
        os.mkfifo,
    ],
    ids=["absolute link", "link up", "link to the parent", "loop", "dangling", "itself", "pipe"],
)
def test_what_is_no_file_inside_is_refused_and_the_others_are_fetched(
    local: Attempt, make: Callable[[Path], None], output: str
) -> None:
    (local.root / "secret").write_bytes(b"secret")
    local.left({"a": b"good", "z": b"good"})
    make(local.wd / "odd")
    assert "'odd'" in unsafe(local, output, "a", "z")
    publish(local.fetch(output, "a", "z"), local.outputs)
    assert local.published() == {"t/a": b"good", "t/z": b"good"}


def test_a_directory_is_no_file(local: Attempt) -> None:
    local.left(["sub/a"])
    assert unsafe(local, "sub") == "'sub' is a directory"


@pytest.mark.parametrize("name", [b"a\nb", b"a\xff", b"a\\b", b"a.", b"a ", b"\x1b[31m"])
def test_a_name_that_is_not_the_same_everywhere_is_refused(local: Attempt, name: bytes) -> None:
    (local.wd / os.fsdecode(name)).write_bytes(b"x")
    local.left({"good": b"x"})
    assert "has a" in unsafe(local, "*")
    assert local.collect("*") == {"t/good": b"x"}


@pytest.mark.parametrize("name", ["with space", "it's", "ünï", "#?%&", "-rf", "x" * 255, "a;b"])
def test_a_name_that_is_only_odd_is_collected(local: Attempt, name: str) -> None:
    local.left({name: b"x"})
    assert local.collect("*") == {f"t/{name}": b"x"}


def test_a_name_in_another_normal_form_is_collected_in_nfc(local: Attempt) -> None:
    local.left({"e\u0301.csv": b"x"})
    assert local.collect("*.csv") == {"t/é.csv": b"x"}


def test_links_that_stay_inside_are_collected_as_files(local: Attempt) -> None:
    local.left({"run3/a.csv": b"x"})
    (local.wd / "latest").symlink_to("run3")
    (local.wd / "best.csv").symlink_to("latest/a.csv")
    publish(local.fetch("best.csv", Output("latest/*", to="l")), local.outputs)
    assert local.published() == {"l/a.csv": b"x", "t/best.csv": b"x"}
    assert not (local.outputs / "t" / "best.csv").is_symlink()


def test_a_link_back_to_its_own_directory_is_not_followed_for_ever(local: Attempt) -> None:
    local.left({"sub/a.csv": b"x"})
    (local.wd / "sub" / "again").symlink_to("../sub")
    assert local.collect("**/*.csv") == {"t/sub/a.csv": b"x"}


def test_collected_files_have_a_plain_mode(local: Attempt) -> None:
    local.left(["a"])
    (local.wd / "a").chmod(0o4777)
    local.collect("a")
    assert (local.outputs / "t" / "a").stat().st_mode & 0o7777 == 0o644


@pytest.fixture
def deep(local: Attempt) -> Iterator[Attempt]:
    """What a task left that went down for as long as it could."""
    here = Path.cwd()
    os.chdir(local.wd)
    try:
        for _ in range(1500):
            Path("d").mkdir()
            os.chdir("d")
    finally:
        os.chdir(here)
    yield local
    # Neither pytest nor shutil can delete what is this deep.
    subprocess.run(["rm", "-rf", str(local.wd)], check=True)


def test_directories_may_be_nested_deeper_than_python_can_recurse(deep: Attempt) -> None:
    deep.left(["b.csv"])
    assert [file.path for file in deep.fetch("*.csv").files] == ["b.csv"]


def test_links_cannot_multiply_the_files_without_end(
    local: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "MOST_NAMES", 1000)
    for one in range(9):
        (local.wd / f"d{one}").mkdir()
        for other in range(9):
            (local.wd / f"d{one}" / f"l{other}").symlink_to(f"../d{other}")
    assert unsafe(local, "**") == "the working directory has over 1000 names"


def test_a_missing_output_is_told_also_where_the_directory_cannot_be_listed(
    local: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "MOST_NAMES", 3)
    local.left([f"f{n}" for n in range(9)])
    assert "has over 3 names" in unsafe(local, "result.csv")


def test_a_directory_that_was_replaced_by_a_link_is_not_listed(local: Attempt) -> None:
    (local.root / "outside").mkdir()
    (local.root / "outside" / "a.csv").write_bytes(b"secret")
    local.wd.rmdir()
    local.wd.symlink_to("outside")
    assert local.fetch("*.csv").files == ()
    assert "replaced by a link" in unsafe(local, "*.csv")


@pytest.mark.parametrize(
    ("left", "outputs"),
    [
        (["a/x.csv", "b/x.csv"], [Output("a/*", to="all"), Output("b/*", to="all")]),
        (["x.csv", "X.csv"], [Output("*.csv", to="all")]),
        (["é", "e\u0301"], [Output("*", to="all")]),
        (["a/x", "b/x/y"], [Output("a/*", to="all"), Output("b/**", to="all")]),
        (["a/x/y", "b/x"], [Output("a/**", to="all"), Output("b/*", to="all")]),
    ],
    ids=["same", "case", "normal form", "below a file", "above a file"],
)
def test_two_files_for_one_place_are_refused(
    attempt: Attempt, left: list[str], outputs: list[Output]
) -> None:
    attempt.left(left)
    assert "both land at 'all/" in unsafe(attempt, *outputs)
    assert len(attempt.fetch(*outputs).files) == 1


# Publishing.


def test_nothing_is_published_before_it_is_asked_for(attempt: Attempt) -> None:
    attempt.left(["a"])
    attempt.fetch("a")
    assert attempt.published() == {}


def test_publishing_replaces_an_older_result_and_leaves_the_others(attempt: Attempt) -> None:
    for name in ("a", "b"):
        (attempt.outputs / "t").mkdir(parents=True, exist_ok=True)
        (attempt.outputs / "t" / name).write_bytes(b"old")
    attempt.left({"a": b"new"})
    assert attempt.collect("a") == {"t/a": b"new", "t/b": b"old"}


def test_publishing_is_by_rename(attempt: Attempt) -> None:
    attempt.left({"a": b"x"})
    fetched = attempt.fetch("a")
    (inode,) = (path.stat().st_ino for path in attempt.incoming.iterdir())
    publish(fetched, attempt.outputs)
    assert (attempt.outputs / "t" / "a").stat().st_ino == inode


@pytest.mark.parametrize(
    "end",
    [discard, lambda fetched: publish(fetched, Path(fetched.incoming.parent, "outputs"))],
    ids=["discard", "publish"],
)
def test_nothing_stays_behind(attempt: Attempt, end: Callable[[Fetched], None]) -> None:
    attempt.left(["a"])
    end(attempt.fetch("a"))
    assert list(attempt.incoming.iterdir()) == []


def test_what_a_killed_controller_had_fetched_is_fetched_anew(attempt: Attempt) -> None:
    attempt.incoming.mkdir()
    (attempt.incoming / "0").write_bytes(b"half")
    (attempt.incoming / ".bc-00").write_bytes(b"half")
    attempt.left({"a": b"whole"})
    assert attempt.collect("a") == {"t/a": b"whole"}


def test_a_place_that_cannot_be_written_is_named(attempt: Attempt) -> None:
    attempt.outputs.write_bytes(b"in the way")
    attempt.left(["a"])
    with pytest.raises(EnvironmentNotReady, match="outputs/t/a cannot be written"):
        publish(attempt.fetch("a"), attempt.outputs)


def test_a_disk_that_is_full_leaves_what_was_published(attempt: Attempt, small_disk: Path) -> None:
    attempt.left({"a": b"x" * (1 << 20)})
    attempt.incoming = small_disk / "incoming"
    with pytest.raises(TransferError, match="the disk is full"):
        attempt.fetch("a")
    assert list(attempt.incoming.iterdir()) == []


# A store.


class Faulty(fsspec.get_filesystem_class("memory")):  # type: ignore[misc]
    """A store in memory whose transfers go through the hands of a test, and who asks is counted."""

    cachable = False

    def __init__(self, *arrivals: bytes | Exception) -> None:
        super().__init__()
        self.arrivals = list(arrivals)
        self.listings = self.looks = 0

    def opened(self, url: str) -> tuple[Faulty, str]:
        return self, self._strip_protocol(url)

    def get_file(self, rpath: str, lpath: str, **_: object) -> None:
        arrived = self.arrivals.pop(0) if self.arrivals else self.cat_file(rpath)
        if isinstance(arrived, Exception):
            raise arrived
        Path(lpath).write_bytes(arrived)

    def find(self, *args: object, **options: object) -> Any:
        self.listings += 1
        return super().find(*args, **options)

    def info(self, path: str, **options: object) -> dict[str, Any]:
        self.looks += 1
        told = super().info(path, **options)
        if told["type"] == "file":
            md5 = hashlib.md5(self.cat_file(path), usedforsecurity=False)
            told["content_md5"] = bytearray(md5.digest())
        return told


def fetched_through(store: Faulty, remote: Attempt, *outputs: Output | str) -> Fetched:
    job = Job("j", command=["x"], tasks=[Task("t", outputs=outputs)])
    planned = plan_job(job, base=remote.root).tasks[0].outputs
    return fetch(planned, SUCCEEDED, open_tree(remote.url, store.opened), remote.incoming)


CUT, ALTERED = b"01234", b"0123456780"


@pytest.mark.parametrize("arrival", [CUT, ALTERED], ids=["cut", "altered"])
def test_an_object_that_arrives_otherwise_than_it_is_is_asked_for_again(
    remote: Attempt, arrival: bytes
) -> None:
    remote.left({"a": b"0123456789"})
    fetched = fetched_through(Faulty(arrival), remote, "a")
    assert (fetched.incoming / fetched.parts[0]).read_bytes() == b"0123456789"
    assert fetched.files[0].sha256 == hashlib.sha256(b"0123456789").hexdigest()


@pytest.mark.parametrize(
    ("arrival", "reason"),
    [(CUT, "a arrived with 5 of 10 bytes"), (ALTERED, "a arrived with other bytes than")],
    ids=["cut", "altered"],
)
def test_an_object_that_never_arrives_as_it_is_may_be_tried_again_later(
    remote: Attempt, arrival: bytes, reason: str
) -> None:
    remote.left({"a": b"0123456789"})
    with pytest.raises(TransferError) as caught:
        fetched_through(Faulty(arrival, arrival), remote, "a")
    assert reason in caught.value.reason
    assert caught.value.transient
    assert list(remote.incoming.iterdir()) == []


def test_an_object_that_was_replaced_after_it_was_listed_is_fetched_as_it_is_now(
    remote: Attempt,
) -> None:
    remote.left({"a": b"0123456789"})
    tree = open_tree(remote.url)
    assert tree.names() == ["a"]
    remote.left({"a": b"01234"})
    with (remote.root / "copy").open("wb") as copy:
        assert tree.copy("a", copy).sha256 == hashlib.sha256(b"01234").hexdigest()


def test_an_object_that_is_gone_after_it_was_listed_may_be_tried_again(remote: Attempt) -> None:
    remote.left(["a"])
    tree = open_tree(remote.url)
    tree.names()
    fsspec.filesystem("memory").rm(f"{remote.url}/a")
    with (remote.root / "copy").open("wb") as copy, pytest.raises(TransferError) as caught:
        tree.copy("a", copy)
    assert caught.value.transient


def test_files_known_by_their_names_are_fetched_without_a_listing(remote: Attempt) -> None:
    remote.left(["a", "sub/b"])
    store = Faulty()
    assert len(fetched_through(store, remote, "a", "sub/b").files) == 2
    assert store.listings == 0


class Verifying(Faulty):
    """A store whose transfers compare what arrives by themselves."""

    verifies = True


def test_a_store_that_compares_itself_is_asked_for_nothing_but_the_file(remote: Attempt) -> None:
    remote.left(["a"])
    store = Verifying()
    assert len(fetched_through(store, remote, "a", Output("b", required=False)).files) == 1
    assert store.listings == store.looks == 0


def test_what_such_a_store_does_not_have_is_missing(remote: Attempt) -> None:
    remote.left(["a"])
    refused = fetched_through(Verifying(), remote, "b").refused
    assert refused is not None
    assert refused.detail == "'b' was not written; the task left 'a'"


def test_a_name_with_two_spellings_is_found_in_a_store_that_compares_itself(
    remote: Attempt,
) -> None:
    remote.left(["e\N{COMBINING ACUTE ACCENT}"])
    fetched = fetched_through(Verifying(), remote, "\N{LATIN SMALL LETTER E WITH ACUTE}")
    assert [file.to for file in fetched.files] == ["t/\N{LATIN SMALL LETTER E WITH ACUTE}"]


def test_a_prefix_is_listed_once_for_all_patterns(remote: Attempt) -> None:
    remote.left(["a", "sub/b"])
    store = Faulty()
    fetched_through(store, remote, Output("*", to="x"), Output("sub/*", to="y"), "c")
    assert store.listings == 1


def test_an_error_of_this_project_is_raised_as_it_is(remote: Attempt) -> None:
    remote.left(["a"])
    refused = EnvironmentNotReady("the credential is refused")
    with pytest.raises(EnvironmentNotReady) as caught:
        fetched_through(Faulty(refused), remote, "a")
    assert caught.value is refused


def test_a_disk_that_fills_up_while_an_object_arrives_is_named(remote: Attempt) -> None:
    remote.left(["a"])
    with pytest.raises(TransferError, match="the disk is full"):
        fetched_through(Faulty(OSError(errno.ENOSPC, "no space")), remote, "a")


def test_a_store_that_cannot_be_listed_may_be_tried_again(tmp_path: Path) -> None:
    away = Attempt(tmp_path, "ftp://127.0.0.1:9/store")
    with pytest.raises(TransferError) as caught:
        away.fetch("*.csv")
    assert caught.value.transient


def test_a_prefix_does_not_show_its_neighbours(remote: Attempt) -> None:
    remote.left(["a"])
    neighbour = Attempt(remote.root, f"{remote.url}2")
    neighbour.left(["b"])
    assert open_tree(remote.url).names() == ["a"]
    fsspec.filesystem("memory").rm(neighbour.url, recursive=True)


# Logs.


def test_a_log_is_kept(attempt: Attempt) -> None:
    attempt.left({"stdout.txt": b"hello\n"})
    keep_log(f"{attempt.url}/stdout.txt", attempt.root / "logs" / "1" / "stdout.txt")
    assert (attempt.root / "logs" / "1" / "stdout.txt").read_bytes() == b"hello\n"


def test_an_absent_log_leaves_nothing(attempt: Attempt) -> None:
    target = attempt.root / "logs" / "stdout.txt"
    keep_log(None, target)
    keep_log(f"{attempt.url}/stdout.txt", target)
    assert not target.exists()


def test_keeping_a_log_again_leaves_it(attempt: Attempt) -> None:
    attempt.left({"stdout.txt": b"hello\n"})
    target = attempt.root / "logs" / "stdout.txt"
    for _ in range(2):
        keep_log(f"{attempt.url}/stdout.txt", target)
    assert target.read_bytes() == b"hello\n"


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "inside", "stdout.txt"])
def test_a_link_in_place_of_a_log_is_not_kept(local: Attempt, target: str) -> None:
    (local.root / "secret").write_bytes(b"secret")
    local.left({"inside": b"x"})
    (local.wd / "stdout.txt").symlink_to(target)
    keep_log(f"{local.url}/stdout.txt", local.root / "logs" / "stdout.txt")
    assert not os.path.lexists(local.root / "logs" / "stdout.txt")


def test_a_pipe_in_place_of_a_log_is_not_waited_for(local: Attempt) -> None:
    os.mkfifo(local.wd / "stdout.txt")
    keep_log(f"{local.url}/stdout.txt", local.root / "logs" / "stdout.txt")
    assert not (local.root / "logs" / "stdout.txt").exists()


def test_a_log_on_another_disk_is_copied(local: Attempt, small_disk: Path) -> None:
    local.left({"stdout.txt": b"hello\n"})
    keep_log(f"{local.url}/stdout.txt", small_disk / "logs" / "stdout.txt")
    assert (small_disk / "logs" / "stdout.txt").read_bytes() == b"hello\n"


def test_what_a_killed_controller_had_copied_of_a_log_goes(
    local: Attempt, small_disk: Path
) -> None:
    local.left({"stdout.txt": b"hello\n"})
    logs = small_disk / "logs"
    logs.mkdir(exist_ok=True)
    (logs / ".bc-01234567").write_bytes(b"hel")
    keep_log(f"{local.url}/stdout.txt", logs / "stdout.txt")
    assert [file.name for file in logs.iterdir()] == ["stdout.txt"]


def test_a_log_that_has_no_place_is_named(local: Attempt) -> None:
    local.left({"stdout.txt": b"hello\n"})
    (local.root / "logs").write_bytes(b"in the way")
    with pytest.raises(EnvironmentNotReady, match=r"logs/stdout\.txt cannot be written"):
        keep_log(f"{local.url}/stdout.txt", local.root / "logs" / "stdout.txt")


def test_a_log_that_its_worker_has_replaced_is_said_to_be_lost(local: Attempt) -> None:
    os.mkfifo(local.wd / "stdout.txt")
    lost = keep_log(f"{local.url}/stdout.txt", local.root / "logs" / "stdout.txt")
    assert lost == "'stdout.txt' is a named pipe"


def test_a_log_that_is_absent_or_kept_is_no_loss(attempt: Attempt) -> None:
    attempt.left({"stdout.txt": b"hello\n"})
    assert keep_log(f"{attempt.url}/stdout.txt", attempt.root / "logs" / "stdout.txt") == ""
    assert keep_log(f"{attempt.url}/stderr.txt", attempt.root / "logs" / "stderr.txt") == ""


class Unlisted(fsspec.get_filesystem_class("memory")):  # type: ignore[misc]
    """A store in memory that is too large to list."""

    protocol = "unlisted"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.removeprefix("unlisted:/")))

    def ls(self, path: str, **_: object) -> None:
        raise OSError(path)

    find = ls


def test_a_log_in_a_store_is_opened_without_a_listing(tmp_path: Path) -> None:
    fsspec.register_implementation("unlisted", Unlisted, clobber=True)
    fsspec.filesystem("memory").pipe("/unlisted/stdout.txt", b"hello\n")
    keep_log("unlisted://unlisted/stdout.txt", tmp_path / "stdout.txt")
    assert (tmp_path / "stdout.txt").read_bytes() == b"hello\n"
    fsspec.filesystem("memory").rm("/unlisted", recursive=True)


def test_a_stale_result_that_cannot_be_deleted_is_told(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(TransferError, match="out cannot be written: Is a directory"):
        withdraw(["gone", "out"], tmp_path)
