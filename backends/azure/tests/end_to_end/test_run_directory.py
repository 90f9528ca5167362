"""The directory of a run on Azure: damaged at any place, or on a disk that is full."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batchcore import crash
from batchcore.states import TaskState
from conftest import lacking

SIXTEENTHS = range(0, 16, 2)
SIZE = 900_000
FILLER = 1_500_000


def cut(path: Path, place: int) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * place // 16])


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) * place // 16] ^= 0xFF
    path.write_bytes(data)


@pytest.fixture
def left(serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run whose controller was killed when one of its two results had been recorded."""
    cloud = serve(instant=True)
    cloud.job({"id": "a"}, {"id": "b"}, command=["true"], outputs=["out.txt"])
    with monkeypatch.context() as patch:
        patch.setenv(crash.VARIABLE, "collect.recorded")
        assert cloud.process().code == -signal.SIGKILL
    shutil.copytree(cloud.directory, cloud.here / "as it was")
    return cloud


@pytest.mark.parametrize("damage", [cut, flip])
def test_a_record_that_is_damaged_while_tasks_run_gives_the_same_result(
    left: Any, damage: Callable[[Path, int], None]
) -> None:
    for place in SIXTEENTHS:
        shutil.rmtree(left.directory)
        shutil.copytree(left.here / "as it was", left.directory)
        damage(left.directory / "run.db", place)
        done = left.run()
        assert done.code == 0, f"{place}/16: {done.err}"
        assert [task.state for task in left.loaded().tasks] == [TaskState.SUCCEEDED] * 2
        names = sorted(path.parent.name for path in left.directory.glob("outputs/*/out.txt"))
        assert names == ["a", "b"], f"{place}/16"
    assert sorted(task for _job, task in left.starts) == ["a", "b"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        lacking("no small file system can be mounted here (it takes root)")
    yield place
    # Lazily: a test that failed may have left a file open in it.
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.docker
def test_an_output_for_which_the_disk_has_no_room_is_fetched_once_there_is_some(
    cloud: Any, small_disk: Path
) -> None:
    cloud.directory = small_disk / "run"
    (small_disk / "filler").write_bytes(bytes(FILLER))
    cloud.job({"id": "t", "shell": f"head -c {SIZE} /dev/zero > out", "outputs": ["out"]})
    full = cloud.run()
    assert full.code == 7
    assert "the disk is full" in full.err
    assert "free some space and run the same command again" in full.err
    assert not list((cloud.directory / "outputs").rglob("out"))
    (small_disk / "filler").unlink()
    assert cloud.run().code == 0
    assert (cloud.directory / "outputs/t/out").stat().st_size == SIZE
    assert len(cloud.starts) == 1
