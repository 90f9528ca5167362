"""Whatever stands in a file, it is a job or it is answered: never a traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchcore.errors import JobError
from batchcore.jobfile import load_job
from batchcore.paths import safe_path
from batchcore.plan import plan_job

TOML = b"""name = "j"
image = "a"
timeout = "30m"
requirements = { cpus = 1, memory = "2GiB" }
[tasks]
table = "t.csv"
id = "t-{n}"
command = ["true", "{seed}"]
env = { SEED = "{seed}" }
outputs = ["out.csv", { path = "*.log", to = "logs-{n}" }]
[backend.local-process]
slots = 2
"""
JSON = rb"""{"name": "j", "retries": 3, "labels": {"a": "\u00e9"}, "tasks": [
{"id": "a", "command": ["x"], "depends_on": [{"task": "b", "on": "any"}]},
{"id": "b", "shell": "true", "resources": [{"path": "r", "text": "x", "mode": "0600"}]}]}"""
CSV = b'seed,x\n1,"a ""b"""\n2,\xc3\xa9\n'

PIECES = [b"\0", b"\xff", b"\xef\xbb\xbf", b"\r", b'"', b"'", b"[", b"{", b"}", b"[[", b"=", b","]
PIECES += [b"nan", b"-1", b"1e999", b"9" * 5_000, b"0x" + b"f" * 5_000, b"\\ud800", b"null", b"{n}"]


@st.composite
def mutated(draw: Callable[..., object], whole: bytes) -> bytes:
    """Return a good file with a few pieces cut out and put in."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(whole)))
        end = min(len(whole), start + draw(st.integers(0, 12)))
        whole = whole[:start] + draw(st.sampled_from(PIECES) | st.binary(max_size=4)) + whole[end:]
    return whole


def is_a_job_or_answered(path: Path) -> bool:
    try:
        loaded = load_job(path)
        plan_job(loaded.job, base=loaded.base, origin=str(path))
    except JobError as exc:
        return bool(exc.problems) and bool(str(exc).encode("utf-8", "backslashreplace"))
    return True


FILES = [("job.toml", TOML), ("job.json", JSON), ("t.csv", CSV)]
often = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize(("name", "whole"), FILES, ids=["toml", "json", "csv"])
@often
@given(data=st.data())
def test_any_bytes_and_any_change_of_a_good_file_are_answered(
    tmp_path: Path, name: str, whole: bytes, data: st.DataObject
) -> None:
    (tmp_path / "job.toml").write_bytes(TOML)
    (tmp_path / "t.csv").write_bytes(CSV)
    (tmp_path / name).write_bytes(data.draw(mutated(whole) | st.binary(max_size=60)))
    assert is_a_job_or_answered(tmp_path / ("job.json" if name == "job.json" else "job.toml"))


@pytest.mark.parametrize(("name", "whole"), FILES, ids=["toml", "json", "csv"])
def test_the_file_that_is_changed_is_a_good_one(tmp_path: Path, name: str, whole: bytes) -> None:
    (tmp_path / "job.toml").write_bytes(TOML)
    (tmp_path / "t.csv").write_bytes(CSV)
    (tmp_path / name).write_bytes(whole)
    loaded = load_job(tmp_path / ("job.json" if name == "job.json" else "job.toml"))
    assert len(loaded.job.tasks) == 2


@given(st.text(st.sampled_from("a./\\~é\u0301 :\x07"), max_size=12))
def test_a_safe_path_stays_safe_and_inside(text: str) -> None:
    try:
        path = safe_path(text, "path")
    except JobError:
        return
    assert safe_path(path, "path") == path
    assert not Path(path).is_absolute()
    assert ".." not in path.split("/")
