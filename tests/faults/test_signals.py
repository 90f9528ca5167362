"""Ctrl-C, TERM, HUP and KILL of the controller: the task lives on, and so does the run."""

from __future__ import annotations

import signal

import pexpect
import pytest

DETACHED = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}


def end(child: pexpect.spawn) -> str:
    """Wait for the end and return what was shown after the last thing expected."""
    child.expect(pexpect.EOF)
    child.close()
    return str(child.before)


@pytest.mark.parametrize("number", DETACHED)
def test_after_a_signal_a_process_in_the_background_goes_on(bench, terminal, number):
    bench.job(f"{bench.begin}; exit 7")
    child = terminal(bench)
    bench.wait_for(bench.begun)
    child.expect("1 running")
    child.kill(number)
    child.expect("Detached. It goes on in the background")
    child.expect("look:   batchcore status ")
    child.expect("logs:   batchcore logs -f ")
    child.expect("wait:   batchcore wait ")
    child.expect("stop:   batchcore cancel ")
    end(child)
    assert child.exitstatus == DETACHED[number]
    assert bench.driver != child.pid
    bench.begun.unlink()
    bench.gate.touch()
    assert bench.wait().code == 3
    assert (bench.task().attempt, bench.task().exit_code) == (1, 7)
    # A second start of the command would have made it again.
    assert not bench.begun.exists()


def test_ctrl_c_at_a_terminal_reaches_no_task(bench, terminal):
    bench.job(f"{bench.begin}; echo unharmed")
    child = terminal(bench)
    bench.wait_for(bench.begun)
    child.expect("1 running")
    child.sendintr()
    child.expect("Detached")
    end(child)
    bench.gate.touch()
    assert bench.run().code == 0
    assert bench.task().attempt == 1


def test_after_ctrl_c_the_same_command_follows_the_run(bench, terminal):
    bench.job(bench.begin)
    child = terminal(bench)
    bench.wait_for(bench.begun)
    child.expect("1 running")
    child.sendintr()
    child.expect("Detached")
    end(child)
    again = terminal(bench)
    again.expect("goes on")
    bench.gate.touch()
    assert "1 task succeeded" in end(again)
    assert (again.exitstatus, bench.task().attempt) == (0, 1)


def test_a_terminal_that_is_closed_leaves_the_run_to_the_background(bench, terminal, monkeypatch):
    monkeypatch.setenv("BATCHCORE_MAX_PARALLEL", "1")
    marks = bench.shared / "second"
    bench.jobs({"t": bench.begin, "u": f"touch {marks}"})
    child = terminal(bench)
    bench.wait_for(bench.begun)
    child.expect("1 running")
    child.ptyproc.fileobj.close()
    assert child.ptyproc.wait() == 143
    bench.gate.touch()
    # The second task had not begun, and nobody has given another command.
    bench.wait_for(marks)
    assert bench.wait().code == 0
    assert bench.task().attempt == 1


def test_a_killed_controller_is_replaced_and_the_task_not_run_again(bench):
    bench.job(f"{bench.begin}; exit 7")
    controller = bench.start()
    bench.wait_for(bench.begun)
    controller.kill()
    controller.wait()
    bench.begun.unlink()
    bench.gate.touch()
    assert bench.run().code == 3
    assert (bench.task().attempt, bench.task().exit_code) == (1, 7)
    assert not bench.begun.exists()


def test_what_ended_while_no_controller_was_there_is_collected(bench):
    bench.job(
        f"{bench.begin}; echo result > out.txt; touch {bench.shared}/ended", outputs=["out.txt"]
    )
    controller = bench.start()
    bench.wait_for(bench.begun)
    controller.kill()
    controller.wait()
    bench.gate.touch()
    bench.wait_for(bench.shared / "ended")
    assert bench.run().code == 0
    assert (bench.directory / "outputs/t/out.txt").read_text() == "result\n"


def test_two_signals_in_a_row_lose_nothing(bench, terminal):
    bench.job(f"trap '' TERM; {bench.begin}")
    child = terminal(bench)
    bench.wait_for(bench.begun)
    child.expect("1 running")
    child.kill(signal.SIGINT)
    child.kill(signal.SIGINT)
    end(child)
    assert child.exitstatus == 130
    bench.gate.touch()
    assert bench.run().code == 0
    assert bench.task().attempt == 1
