"""How a task can end, and what a user is told: the same on every backend of this machine."""

from __future__ import annotations

import signal
import time

import pytest

from batchcore.record.durability import boot_id
from batchcore.states import FailureReason

HOG = "python3 -c 'bytearray(300_000_000)[::4096] = bytes(73243)'"


def test_an_exit_code_is_the_tasks_own_whatever_it_means_elsewhere(bench):
    codes = (1, 7, 125, 126, 127, 137, 139, 143, 255)
    bench.jobs({f"t{code}": f"exit {code}" for code in codes})
    assert bench.run().code == 3
    for code in codes:
        task = bench.task(f"t{code}")
        assert (task.exit_code, task.reason) == (code, FailureReason.EXIT_CODE)


def test_a_shell_that_finds_no_program_exits_127(bench):
    bench.job("no-such-program --flag")
    assert "not found" in bench.run().err
    assert (bench.task().exit_code, bench.task().reason) == (127, FailureReason.EXIT_CODE)


def test_a_signal_that_a_task_sends_itself_ends_it(bench):
    numbers = (signal.SIGSEGV, signal.SIGTERM, signal.SIGKILL)
    bench.jobs({number.name: f"kill -{number.value} $$; sleep 60" for number in numbers})
    bench.run()
    for number in numbers:
        task = bench.task(number.name)
        assert task.exit_code == 128 + number
        assert (task.attempt, task.reason) == (1, FailureReason.EXIT_CODE)


def test_a_timeout_ends_a_task_that_ignores_term(bench):
    bench.job("trap '' TERM; while :; do sleep 0.05; done", timeout="1s", grace="0.5s")
    assert bench.run().code == 3
    assert (bench.task().exit_code, bench.task().reason) == (137, FailureReason.TIMEOUT)


def test_the_time_of_a_task_goes_on_while_no_controller_is_there(bench):
    bench.job(bench.begin, timeout="1h", grace="0.5s")
    controller = bench.start()
    bench.wait_for(bench.begun)
    bench.wait_for(bench.started)
    controller.kill()
    controller.wait()
    bench.started.write_text(f"{boot_id()} {time.monotonic() - 7200}")  # two hours ago
    assert bench.run().code == 3
    assert (bench.task().attempt, bench.task().reason) == (1, FailureReason.TIMEOUT)


def test_a_newline_in_a_variable_arrives_whole(bench):
    value = "first\nSECOND=2\n\ttab 'quote' \"double\" $HOME ü"
    bench.job(
        'printf %s "$VALUE" > out.txt; test -z "${SECOND-}"',
        outputs=["out.txt"],
        env={"VALUE": value},
    )
    assert bench.run().code == 0
    assert (bench.directory / "outputs/t/out.txt").read_text() == value


@pytest.mark.docker
@pytest.mark.parametrize(("line", "code"), [(f"exec {HOG}", 137), (f"{HOG}; exit 7", 7)])
def test_out_of_memory_is_named_with_the_limit(containers, line, code):
    containers.job(line, requirements={"memory": "32MiB"})
    shown = containers.run()
    assert shown.code == 3
    assert "its limit of 32.0 MiB" in shown.err
    assert (containers.task().reason, containers.task().exit_code) == (
        FailureReason.OUT_OF_MEMORY,
        code,
    )


@pytest.mark.docker
def test_a_task_that_copes_with_a_child_out_of_memory_has_succeeded(containers):
    containers.job(f"{HOG}; exit 0", requirements={"memory": "32MiB"})
    assert containers.run().code == 0
    assert "needed more memory than its limit of 32.0 MiB" in containers.task().detail
