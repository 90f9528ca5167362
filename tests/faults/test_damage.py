"""A run directory that is cut or changed at any place: mended, or named; never a wrong answer."""

from __future__ import annotations

import shutil

import pytest

PLACES = range(16)


def cut(path, place):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * place // 16])


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[len(data) * place // 16] ^= 0xFF
    path.write_bytes(data)


@pytest.fixture
def ended(processes):
    """A bench whose run has succeeded."""
    processes.jobs(
        dict.fromkeys(("a", "b"), "echo $BATCHCORE_TASK_ID > out.txt"), outputs=["out.txt"]
    )
    assert processes.run().code == 0
    return processes


def results(bench):
    return [(bench.directory / f"outputs/{name}/out.txt").read_text() for name in ("a", "b")]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("damage", [cut, flip])
def test_a_damaged_record_gives_the_same_result(ended, damage, place):
    damage(ended.directory / "run.db", place)
    done = ended.run()
    assert done.code == 0, done.err
    assert results(ended) == ["a\n", "b\n"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("damage", [cut, flip])
def test_a_damaged_job_is_named_and_nothing_is_lost(ended, damage, place):
    damage(ended.directory / "job.json", place)
    done = ended.run()
    assert done.code == 7, done.err
    assert "job.json is damaged" in done.err
    assert "help: " in done.err
    assert results(ended) == ["a\n", "b\n"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("damage", [cut, flip])
def test_a_record_that_was_damaged_in_the_middle_of_a_run_gives_the_same_result(
    ended, damage, place
):
    for name in ("run.db", "manifest.jsonl"):
        if (ended.directory / name).exists():
            damage(ended.directory / name, place)
    shutil.rmtree(ended.directory / "outputs/b")
    done = ended.run()
    assert done.code == 0, done.err
    assert results(ended) == ["a\n", "b\n"]


def kill_while_the_task_runs(bench):
    """Leave a run whose controller was killed while its task counted itself and went on."""
    count = bench.shared / "count"
    bench.job(f"echo x >> {count}; {bench.begin}; echo x > out.txt", outputs=["out.txt"])
    controller = bench.start()
    bench.wait_for(bench.begun)
    bench.wait_for(bench.started)
    controller.kill()
    controller.wait()
    return count


def goes_on_as_if_nothing_had_happened(bench, count):
    bench.gate.touch()
    done = bench.run()
    assert done.code == 0, done.err
    assert count.read_text() == "x\n"
    assert (bench.directory / "outputs/t/out.txt").read_text() == "x\n"
    assert bench.task().attempt == 1


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("damage", [cut, flip])
def test_a_record_that_is_damaged_while_its_task_runs_is_built_anew_around_that_task(
    processes, damage, place
):
    count = kill_while_the_task_runs(processes)
    beside = processes.directory / "run.db-wal"
    assert beside.stat().st_size  # a killed controller leaves its last writes there
    damage(beside, place)
    if place % 2:
        damage(processes.directory / "run.db", place)
    goes_on_as_if_nothing_had_happened(processes, count)


@pytest.mark.parametrize("name", ["run.db", "run.db-wal"])
@pytest.mark.parametrize("damage", [cut, flip])
def test_a_container_is_found_again_by_a_record_that_was_damaged(containers, damage, name):
    count = kill_while_the_task_runs(containers)
    damage(containers.directory / name, 3)
    goes_on_as_if_nothing_had_happened(containers, count)
