"""What a user is told when the result is not what was asked for."""

from __future__ import annotations

import pytest

from batchcore.states import FailureReason


def test_a_missing_output_is_told_with_what_was_left_and_the_others_are_fetched(bench):
    line = "echo looking; echo 1 > found.csv; echo 2 > good.txt"
    bench.job(line, outputs=["*.json", "good.txt"])
    done = bench.run()
    assert done.code == 3
    assert "'*.json' was not written; the task left 'found.csv', 'good.txt'" in done.err
    assert "look:   batchcore logs " in done.err
    assert bench.task().reason is FailureReason.OUTPUT_MISSING
    assert (bench.directory / "outputs/t/good.txt").read_text() == "2\n"


@pytest.mark.parametrize("field", ["outputs", "resources"])
def test_a_path_in_the_words_of_windows_is_told_with_the_one_to_write(processes, field):
    path = r"out\a.csv"
    processes.job("true", **{field: [path] if field == "outputs" else [{"path": path, "text": ""}]})
    done = processes.run()
    assert done.code == 2
    assert "has a backslash" in done.err
    assert 'did you mean "out/a.csv"?' in done.err


def test_ids_that_differ_by_case_alone_are_refused(processes):
    processes.jobs({"task": "true", "Task": "true"})
    done = processes.run()
    assert done.code == 2
    assert "case does not count" in done.err


@pytest.mark.docker
def test_an_image_that_nobody_has_is_told_before_anything_is_made(containers):
    containers.image = "127.0.0.1:1/nobody/has:v1"
    containers.job("true")
    done = containers.run()
    assert done.code == 6
    assert "127.0.0.1:1" in done.err
    assert not containers.directory.exists()
