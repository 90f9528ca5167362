"""`local-process`: what the worker sees and how its end is told, with real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchcore.local.process import ProcessRunner
from batchcore.local.runner import Attempt, Exit
from batchcore.local.settings import LocalProcessSettings
from batchcore.plan import PlannedTask
from batchcore.states import FailureReason

REPORT = """
import json, os, sys
print(json.dumps({"argv": sys.argv[1:], "cwd": os.getcwd(), "env": dict(os.environ),
                  "stdin": sys.stdin.read(), "session": os.getsid(0)}))
"""


@pytest.fixture
def runner() -> Iterator[ProcessRunner]:
    made = ProcessRunner(LocalProcessSettings())
    yield made
    made.wake()
    made.close()


@pytest.fixture
def attempt(tmp_path: Path):
    """Make a filled attempt of a command."""

    def make(*command: str, **fields) -> Attempt:
        task = PlannedTask(id="task-1", command=command, **fields)
        directory = tmp_path / "work" / "task-1" / "1"
        made = Attempt(run_id="run-1", task=task, number=1, directory=directory, base=tmp_path)
        made.control.mkdir(parents=True)
        made.working_directory.mkdir(parents=True)
        return made

    return make


def run(runner: ProcessRunner, attempt: Attempt) -> Exit:
    end = runner.start(attempt) or runner.wait(attempt, 30)
    assert end is not None
    return end


def stdout(attempt: Attempt) -> str:
    return (attempt.task_directory / "stdout.txt").read_text()


def stderr(attempt: Attempt) -> str:
    return (attempt.task_directory / "stderr.txt").read_text()


@pytest.mark.parametrize("code", [0, 1, 3, 126, 127, 255])
def test_the_exit_code_is_the_commands_own(runner, attempt, code):
    assert run(runner, attempt("sh", "-c", f"exit {code}")).code == code


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_death_by_signal_is_128_and_the_signal(runner, attempt, number):
    assert run(runner, attempt("sh", "-c", f"kill -{int(number)} $$")).code == 128 + number


@pytest.mark.parametrize(
    "words",
    [
        ["two words", "", "-n", "--", "*"],
        ["it's", '"quoted"', "$HOME", "`id`", "a;b|c&d>e", "\\"],
        ["line\nbreak", "tab\t", "ü", "🙂", "%s", "#", "!"],
    ],
)
def test_words_reach_the_command_untouched(runner, attempt, words):
    made = attempt(sys.executable, "-c", REPORT, *words)
    run(runner, made)
    assert json.loads(stdout(made))["argv"] == words


def test_the_command_starts_in_its_working_directory_in_a_session_of_its_own(runner, attempt):
    made = attempt(sys.executable, "-c", REPORT)
    run(runner, made)
    seen = json.loads(stdout(made))
    assert seen["cwd"] == str(made.working_directory)
    assert seen["session"] != os.getsid(0)


def test_stdin_is_empty(runner, attempt):
    made = attempt(sys.executable, "-c", REPORT)
    run(runner, made)
    assert json.loads(stdout(made))["stdin"] == ""


def test_the_worker_knows_its_run_its_task_and_its_attempt(runner, attempt):
    made = attempt(sys.executable, "-c", REPORT)
    run(runner, made)
    env = json.loads(stdout(made))["env"]
    assert (env["BATCHCORE_RUN_ID"], env["BATCHCORE_TASK_ID"]) == ("run-1", "task-1")
    assert env["BATCHCORE_ATTEMPT"] == "1"
    assert env["AZ_BATCH_TASK_WORKING_DIR"] == env["HOME"] == str(made.working_directory)


def test_the_controllers_environment_does_not_leak(runner, attempt, monkeypatch):
    monkeypatch.setenv("MY_PASSWORD", "hunter2")
    made = attempt(sys.executable, "-c", REPORT)
    run(runner, made)
    assert "hunter2" not in stdout(made)


def test_the_tasks_own_variables_win(runner, attempt):
    made = attempt(sys.executable, "-c", REPORT, env={"HOME": "/elsewhere", "A": "line\nbreak"})
    run(runner, made)
    env = json.loads(stdout(made))["env"]
    assert (env["HOME"], env["A"]) == ("/elsewhere", "line\nbreak")


def test_python_is_the_interpreter_that_runs_batchcore(runner, attempt):
    made = attempt("python", "-c", "import sys; print(sys.prefix)")
    run(runner, made)
    assert stdout(made).strip() == sys.prefix


def test_the_two_streams_are_kept_apart(runner, attempt):
    made = attempt("sh", "-c", "echo out; echo err >&2")
    run(runner, made)
    assert (stdout(made), stderr(made)) == ("out\n", "err\n")


def test_a_program_that_is_not_there_is_a_failed_start_and_not_127(runner, attempt):
    end = run(runner, attempt("no-such-program"))
    assert (end.code, end.reason) == (None, FailureReason.START_FAILED)


def test_a_file_that_cannot_be_executed_is_a_failed_start(runner, attempt):
    made = attempt("./script")
    (made.working_directory / "script").write_text("#!/bin/sh\n")
    assert run(runner, made).reason is FailureReason.START_FAILED


def test_a_resource_can_be_the_program(runner, attempt):
    made = attempt("./script")
    script = made.working_directory / "script"
    script.write_text("#!/bin/sh\nexit 4\n")
    script.chmod(0o755)
    assert run(runner, made).code == 4


def test_wait_gives_up_after_its_time(runner, attempt):
    made = attempt("sleep", "60")
    assert runner.start(made) is None
    assert runner.wait(made, 0.05) is None
    runner.stop(made, kill=True)
    assert runner.wait(made, 30).code == 137


def test_term_reaches_the_whole_group(runner, attempt):
    made = attempt("sh", "-c", "sleep 61 & echo $! ; wait")
    runner.start(made)
    child = wait_for_line(made)
    runner.stop(made, kill=False)
    assert runner.wait(made, 30).code == 143
    assert gone(child)


def test_a_child_left_behind_is_killed_with_its_task(runner, attempt):
    made = attempt("sh", "-c", "sleep 62 & echo $!")
    runner.start(made)
    assert runner.wait(made, 30).code == 0
    assert gone(int(stdout(made)))


def test_a_task_that_ignores_term_dies_of_kill(runner, attempt):
    made = attempt("sh", "-c", "trap '' TERM; echo $$; while :; do sleep 0.05; done")
    runner.start(made)
    wait_for_line(made)
    runner.stop(made, kill=False)
    assert runner.wait(made, 0.3) is None
    runner.stop(made, kill=True)
    assert runner.wait(made, 30).code == 137


def test_a_task_may_clean_up_on_term_and_choose_its_exit_code(runner, attempt):
    made = attempt("sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done")
    runner.start(made)
    wait_for_line(made)
    runner.stop(made, kill=False)
    assert runner.wait(made, 30).code == 9


def test_wake_ends_a_wait_and_leaves_the_command_alone(attempt):
    runner = ProcessRunner(LocalProcessSettings())
    made = attempt("sleep", "60")
    runner.start(made)
    runner.wake()
    assert runner.wait(made, 30) is None
    runner.close()
    successor = ProcessRunner(LocalProcessSettings())
    assert successor.start(made) is None
    successor.stop(made, kill=True)
    successor.wait(made, 30)


def test_another_process_adopts_what_runs_and_learns_its_exit_code(runner, attempt, tmp_path):
    made = attempt("sh", "-c", "while [ ! -e go ]; do sleep 0.02; done; exit 6")
    start_in_another_process(made, tmp_path)
    assert runner.start(made) is None
    (made.working_directory / "go").touch()
    assert runner.wait(made, 30).code == 6


def test_another_process_learns_the_exit_code_of_what_has_ended(runner, attempt, tmp_path):
    made = attempt("sh", "-c", "exit 6")
    start_in_another_process(made, tmp_path)
    assert runner.start(made) is None
    assert runner.wait(made, 30).code == 6


def test_a_process_that_is_gone_without_an_exit_code_is_a_lost_node(runner, attempt, tmp_path):
    made = attempt("sh", "-c", "echo $$; sleep 60")
    start_in_another_process(made, tmp_path)
    wait_for_line(made)
    os.killpg(int((made.control / "pid").read_text()), signal.SIGKILL)
    assert runner.start(made) is None
    assert runner.wait(made, 30).reason is FailureReason.NODE_LOST


def test_a_process_that_was_killed_from_outside_is_a_lost_node(runner, attempt):
    made = attempt("sh", "-c", "echo $$; sleep 60")
    runner.start(made)
    wait_for_line(made)
    os.killpg(int((made.control / "pid").read_text()), signal.SIGKILL)
    assert runner.wait(made, 30).reason is FailureReason.NODE_LOST


def test_of_two_shells_for_one_attempt_the_second_gives_up(attempt, tmp_path):
    class Forgetful(ProcessRunner):
        """Does not see in time that an earlier controller has started the attempt."""

        looks = 0

        def _pid(self, attempt):
            self.looks += 1
            return None if self.looks == 1 else super()._pid(attempt)

        def _adopted(self, attempt):
            return False

    line = f"echo x >> {tmp_path}/count; while [ ! -e go ]; do sleep 0.02; done; exit 6"
    made = attempt("sh", "-c", line)
    start_in_another_process(made, tmp_path)
    wait_for_file(tmp_path / "count")
    runner = Forgetful(LocalProcessSettings())
    assert runner.start(made) is None
    (made.working_directory / "go").touch()
    assert runner.wait(made, 30).code == 6
    assert (tmp_path / "count").read_text() == "x\n"
    runner.wake()
    runner.close()


def test_a_recycled_process_number_is_not_taken_for_the_task(runner, attempt):
    made = attempt("true")
    (made.control / "pid").write_text(f"{os.getpid()}\n")
    runner.stop(made, kill=True)
    assert runner.wait(made, 5).reason is FailureReason.NODE_LOST


def test_sweep_kills_what_a_run_has_left(runner, attempt, tmp_path):
    made = attempt("sh", "-c", "echo $$; sleep 60")
    start_in_another_process(made, tmp_path)
    pid = wait_for_line(made)
    work = tmp_path / "work"
    assert runner.leftovers("run-1", work) != []
    assert runner.leftovers("run-2", work) == []
    runner.sweep("run-1", work)
    assert gone(pid)
    assert runner.leftovers("run-1", work) == []


def start_in_another_process(attempt: Attempt, tmp_path: Path) -> None:
    """Start an attempt in a controller that is killed at once."""
    script = f"""
import os, signal
from pathlib import Path
import msgspec
from batchcore.local.process import ProcessRunner
from batchcore.local.runner import Attempt
from batchcore.local.settings import LocalProcessSettings
from batchcore.plan import PlannedTask
task = msgspec.json.decode({json.dumps(json.dumps(list(attempt.task.command)))}, type=list)
attempt = Attempt(run_id="run-1", task=PlannedTask(id="task-1", command=tuple(task)), number=1,
                  directory=Path({str(attempt.directory)!r}), base=Path({str(tmp_path)!r}))
assert ProcessRunner(LocalProcessSettings()).start(attempt) is None
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL


def wait_for_file(path: Path) -> None:
    """Return as soon as a task has made a file."""
    deadline = time.monotonic() + 20
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert path.exists()


def wait_for_line(attempt: Attempt) -> int:
    """Return the number that the task prints first."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        path = attempt.task_directory / "stdout.txt"
        if path.exists() and (text := path.read_text()).endswith("\n"):
            first = text.split()[0]
            return int(first) if first.isdigit() else 0
        time.sleep(0.01)
    raise AssertionError("the task printed nothing")


def gone(pid: int) -> bool:
    """Return whether a process ends soon; one that nobody has reaped yet has ended."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.01)
    return False
