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
