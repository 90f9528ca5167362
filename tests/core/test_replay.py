"""What a replay compares, and how it names the image that a run had."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcore.backend import EMULATED, NATIVE, BackendSpec, Check
from batchcore.errors import EnvironmentNotReady, Problem
from batchcore.plan import Plan, PlannedTask
from batchcore.replay.compare import SMALL, compare_outputs
from batchcore.replay.images import check_pinned
from batchcore.replay.model import Difference, OutputChange
from batchcore.results import OutputFile
from batchcore.testing.memory import MemoryBackend

DIGEST = f"sha256:{'4e' * 32}"


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., OutputChange]:
    """Compare a file with these contents then and now."""
    directory = tmp_path_factory.mktemp("files")

    def compare(then: bytes, now: bytes) -> OutputChange:
        return compare_outputs([left(directory, "then", then)], [left(directory, "now", now)])[0]

    return compare


def left(directory: Path, name: str, content: bytes, path: str = "out") -> OutputFile:
    file = directory / name
    file.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return OutputFile(path=path, file=file, size=len(content), sha256=digest)


@given(then=st.binary(max_size=20), now=st.binary(max_size=20))
def test_the_first_byte_that_differs_ends_what_both_begin_with(
    compared: Callable[..., OutputChange], then: bytes, now: bytes
) -> None:
    found = compared(then, now)
    if then == now:
        assert (found.change, found.first) == ("same", None)
    else:
        assert found.change == "different"
        assert found.first is not None
        byte = found.first.byte
        assert then[:byte] == now[:byte]
        assert then[byte : byte + 1] != now[byte : byte + 1]


@pytest.mark.parametrize(
    ("then", "now", "line", "texts"),
    [
        (b"a\nb\n", b"a\nc\n", 2, ("b", "c")),
        (b"a\n", b"a\nb\n", 2, ("", "b")),
        ("é\nà\n".encode(), "é\ná\n".encode(), 2, ("à", "á")),
        (b"", b"x", 1, ("", "x")),
    ],
)
def test_in_small_texts_the_line_is_told(
    compared: Callable[..., OutputChange],
    then: bytes,
    now: bytes,
    line: int,
    texts: tuple[str, str],
) -> None:
    first = compared(then, now).first
    assert first is not None
    assert (first.line, (first.then, first.now)) == (line, texts)


@pytest.mark.parametrize(
    ("then", "now", "byte"),
    [
        (b"a\0b", b"a\0c", 2),
        (b"\xff", b"\xfe", 0),
        (b"a", b"a\n", 1),
        (b"x" * 300 + b"a", b"x" * 300 + b"b", 300),
        (b"x" * (SMALL + 1), b"x" * (SMALL + 2), SMALL + 1),
    ],
)
def test_of_all_else_the_byte(
    compared: Callable[..., OutputChange], then: bytes, now: bytes, byte: int
) -> None:
    assert compared(then, now).first == Difference(byte=byte)


def test_a_file_that_was_changed_since_is_not_looked_into(tmp_path: Path) -> None:
    then, now = left(tmp_path, "then", b"a"), left(tmp_path, "now", b"b")
    then.file.write_bytes(b"c")
    (found,) = compare_outputs([then], [now])
    assert (found.change, found.first) == ("different", None)


def test_files_that_only_one_of_them_left_are_missing_or_new(tmp_path: Path) -> None:
    then, now = left(tmp_path, "then", b"a", "gone"), left(tmp_path, "now", b"bb", "come")
    found = compare_outputs([then], [now])
    assert [(one.path, one.change) for one in found] == [("gone", "missing"), ("come", "new")]
    assert [(one.size_then, one.size_now) for one in found] == [(1, None), (None, 2)]


class Engine(MemoryBackend):
    """Knows images by what may name them; without any it is not there."""

    def __init__(self, images: Mapping[str, str] | None) -> None:
        super().__init__()
        self._images = images

    def check(self, plan: Plan) -> Check:
        if self._images is None:
            message = "no daemon answers"
            raise EnvironmentNotReady(message)
        names = [task.image or "" for task in plan.tasks]
        found = {name: self._images[name] for name in names if name in self._images}
        lacking = [Problem(code="BC2501", reason=name) for name in names if name not in found]
        return Check(problems=lacking, fingerprint=found)


def pinned(
    image: str,
    images: Mapping[str, str] | None,
    *,
    digest: str = DIGEST,
    containers: bool = True,
) -> str | None:
    """Return how a task's image is named for an engine that has these."""
    spec = BackendSpec(
        name="engine",
        summary="",
        factory="",
        settings="",
        capabilities={"containers": NATIVE} if containers else {"retries": EMULATED},
    )
    task = PlannedTask(id="a", command=("true",), image=image)
    plan = Plan(name="p", base="/", spec_hash="", tasks=(task,))
    engine = Engine(images)
    return check_pinned(engine, spec, plan, {image: digest})[0].tasks[0].image


def test_a_name_that_still_means_the_same_image_stays() -> None:
    assert pinned("worker:v1", {"worker:v1": DIGEST}) == "worker:v1"


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("worker:v1", "worker"),
        ("registry.example:5000/team/worker", "registry.example:5000/team/worker"),
        ("registry.example:5000/team/worker:v1", "registry.example:5000/team/worker"),
    ],
)
def test_a_name_that_moved_on_becomes_the_digest_in_its_repository(
    image: str, repository: str
) -> None:
    exact = f"{repository}@{DIGEST}"
    assert pinned(image, {image: "sha256:other", exact: DIGEST}) == exact


def test_an_image_that_was_never_in_a_registry_is_named_by_its_id() -> None:
    assert pinned("worker:v1", {"worker:v1": "sha256:other", DIGEST: DIGEST}) == DIGEST


def test_an_image_that_is_gone_is_an_error_with_its_digest() -> None:
    with pytest.raises(EnvironmentNotReady, match=f"worker:v1 with the digest {DIGEST}"):
        pinned("worker:v1", {"worker:v1": "sha256:other"})


def test_a_missing_daemon_is_not_taken_for_a_missing_image() -> None:
    with pytest.raises(EnvironmentNotReady, match="no daemon answers"):
        pinned("worker:v1", None)


def test_without_a_digest_the_name_stays() -> None:
    assert pinned("worker:v1", {"worker:v1": DIGEST}, digest="v1") == "worker:v1"


def test_a_backend_without_containers_gets_the_task_as_it_is() -> None:
    assert pinned("worker:v1", {"worker:v1": "sha256:other"}, containers=False) == "worker:v1"
