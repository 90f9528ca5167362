"""The lines that a node executes, executed here."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchcore.local import Attempt
from batchcore.plan import PlannedTask
from batchcore_slurm.containers import Wrapped
from batchcore_slurm.script import TAKEN, UNSEEN, array_script, attempt_script

SHELLS = [name for name in ("/bin/dash", "/bin/bash") if Path(name).exists()]
WAIT_SECONDS = 30


class Node:
    """Executes the script of one attempt as Slurm does: in a process group of its own."""

    def __init__(self, folder: Path, shell: str) -> None:
        self.marks = folder / "marks" / "0"
        self.marks.parent.mkdir()
        self.folder = folder
        self.shell = shell

    def start(self, *command: str, **fields: Any) -> subprocess.Popen[bytes]:
        task = PlannedTask(id="a", command=command, **{"grace": 0.3, **fields})
        self.attempt = Attempt(
            run_id="r", task=task, number=1, directory=self.folder / "a 1", base=self.folder
        )
        exports = {"PATH": os.environ["PATH"], **task.env}
        wrapped = Wrapped(argv=command, exports=exports)
        text = attempt_script(self.attempt, wrapped, self.folder / "store", self.marks)
        return subprocess.Popen(
            [self.shell, "-c", text],
            env={"SLURM_ARRAY_JOB_ID": "7", "PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def run(self, *command: str, **fields: Any) -> str:
        self.start(*command, **fields).wait(WAIT_SECONDS)
        return self.mark("exit")

    def mark(self, name: str) -> str:
        return Path(f"{self.marks}.{name}").read_text().strip()

    def until(self, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not happened():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.01)

    def stdout(self) -> str:
        path = self.attempt.task_directory / "stdout.txt"
        return path.read_text() if path.exists() else ""


@pytest.fixture(params=SHELLS)
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Node:
    folder = tmp_path / 'it\'s a "place" of $HOME'
    folder.mkdir()
    return Node(folder, request.param)


@pytest.mark.parametrize("code", [0, 3, 255])
def test_the_exit_code_is_written_down(node: Node, code: int) -> None:
    assert node.run("sh", "-c", f"exit {code}") == f"{code} -"


def test_words_and_variables_arrive_as_they_are(node: Node) -> None:
    words = ["a b", "'", '"', "$HOME", "*", "", "-n", "two\nlines", "é"]
    node.run("printf", "%s|", *words, env={"marks": "x", "ODD": "'$HOME\n"})
    assert node.stdout() == "".join(f"{word}|" for word in words)
    assert node.mark("exit") == "0 -"


@pytest.mark.parametrize("name", ["UID", "PPID", "RANDOM", "OPTIND", "SHLVL", "_", "LC_ALL"])
def test_a_variable_that_the_shell_itself_has_arrives_too(node: Node, name: str) -> None:
    node.run("/usr/bin/env", env={name: "it's mine"})
    assert f"{name}=it's mine" in node.stdout().splitlines()


def test_a_program_that_is_not_there_is_told_apart_from_exit_code_127(node: Node) -> None:
    assert node.run("no-such-program") == "127 start_failed"


def test_a_program_may_exit_with_127(node: Node) -> None:
    assert node.run("sh", "-c", "exit 127") == "127 -"


def test_a_name_of_the_shell_itself_is_no_program(node: Node) -> None:
    assert node.run("write_end", "0", "-", "ended") == "127 start_failed"


def test_an_attempt_begins_only_once(node: Node) -> None:
    node.run("sh", "-c", "echo ran")
    assert node.start("sh", "-c", "echo again").wait(WAIT_SECONDS) == TAKEN
    assert node.stdout() == "ran\n"


def test_an_attempt_that_was_canceled_before_it_began_starts_nothing(node: Node) -> None:
    Path(f"{node.marks}.canceled").touch()
    assert node.run("sh", "-c", "echo ran") == "143 -"
    assert node.stdout() == ""


def test_the_end_of_its_time_sends_term(node: Node) -> None:
    end = node.run("sh", "-c", 'trap "echo bye; exit 9" TERM; sleep 60 & wait', timeout=2.0)
    assert end == "9 timeout"
    assert node.stdout() == "bye\n"


def test_what_does_not_listen_is_killed_after_its_grace_time(node: Node) -> None:
    end = node.run("sh", "-c", 'trap "" TERM; sleep 60; sleep 60', timeout=0.2)
    assert end == "137 timeout"


def test_usr1_stops_the_task(node: Node) -> None:
    script = node.start("sh", "-c", 'trap "exit 5" TERM; echo up; while :; do sleep 0.05; done')
    node.until(lambda: node.stdout() == "up\n")
    os.kill(script.pid, signal.SIGUSR1)
    script.wait(WAIT_SECONDS)
    assert node.mark("exit") == "5 -"


def test_usr2_ends_everything_at_once(node: Node) -> None:
    script = node.start("sh", "-c", 'trap "" TERM; echo up; sleep 60; sleep 60')
    node.until(lambda: node.stdout() == "up\n")
    os.kill(script.pid, signal.SIGUSR2)
    assert script.wait(WAIT_SECONDS) == -signal.SIGKILL


def test_term_to_the_script_does_not_hide_how_the_command_ended(node: Node) -> None:
    script = node.start("sh", "-c", "echo up; sleep 0.5; exit 6")
    node.until(lambda: node.stdout() == "up\n")
    os.kill(script.pid, signal.SIGTERM)
    script.wait(WAIT_SECONDS)
    assert node.mark("exit") == "6 -"


def test_a_node_that_does_not_see_the_directory_says_so(tmp_path: Path) -> None:
    text = array_script(tmp_path / "nowhere").replace("sleep 1", "sleep 0")
    assert subprocess.run(["/bin/sh", "-c", text], check=False).returncode == UNSEEN
