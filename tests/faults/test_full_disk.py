"""A disk that is full: named, the old files whole, and the same command goes on once there is room.

All but the first are shown on local-process, as what writes there is the same for every backend of
this machine.
"""

from __future__ import annotations

import os
from contextlib import suppress

import pytest

from batchcore.run import Run

BLOCK = 4096


class Disk:
    """A small disk and how much of it is free."""

    def __init__(self, place):
        self.place = place
        self._filler = place / "filler"

    def leave(self, size):
        """Fill the disk but for so many bytes."""
        with self._filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(BLOCK))
        os.truncate(self._filler, self._filler.stat().st_size - size)

    def free(self):
        self._filler.unlink()


@pytest.fixture
def disk(small_disk):
    return Disk(small_disk)


@pytest.fixture
def bench(bench, disk):
    """A bench whose run directory is on the small disk."""
    bench.directory = disk.place / "run"
    return bench


@pytest.fixture
def processes(processes, disk):
    """The same for `local-process` alone."""
    processes.directory = disk.place / "run"
    return processes


def test_while_outputs_are_collected_it_is_named_and_the_run_goes_on(bench, disk):
    bench.job("head -c 900000 /dev/zero > out.bin", outputs=["out.bin"])
    disk.leave(1_400_000)
    full = bench.run()
    assert full.code == 7
    assert "the disk is full" in full.err
    assert "to collect 'out.bin'" in full.err
    assert "free some space and run the same command again" in full.err
    assert not list((bench.directory / "outputs").rglob("*.bin"))
    disk.free()
    assert bench.run().code == 0
    assert bench.task().attempt == 1
    assert (bench.directory / "outputs/t/out.bin").stat().st_size == 900_000


def test_while_resources_are_staged_it_is_named_and_the_run_goes_on(processes, disk):
    (processes.here / "in.bin").write_bytes(bytes(700_000))
    processes.job("wc -c < in.bin", resources=[{"path": "in.bin", "source": "in.bin"}])
    disk.leave(500_000)
    full = processes.run()
    assert full.code == 7
    assert "the disk is full" in full.err
    disk.free()
    assert processes.run().code == 0


def test_a_task_that_fills_the_disk_with_its_log_is_no_success(processes, disk):
    processes.job("head -c 900000 /dev/zero")
    disk.leave(500_000)
    assert processes.run().code != 0
    disk.free()
    assert processes.run().code == 0
    assert len(Run.load(processes.directory).log("t")) == 900_000


@pytest.mark.parametrize("blocks", range(0, 42, 3))
def test_wherever_the_room_ends_the_same_command_goes_on(processes, disk, blocks):
    processes.job("echo result > out.txt", outputs=["out.txt"])
    disk.leave(blocks * BLOCK)
    full = processes.run()
    assert full.code == 7
    assert "error[BC700" in full.err
    assert str(processes.directory) in full.err
    disk.free()
    assert processes.run().code == 0
    assert (processes.directory / "outputs/t/out.txt").read_text() == "result\n"
