"""Tab in a shell: real shells complete commands, runs, tasks, backends and files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from batchcore.cli.completion import SHELLS
from conftest import lacking

Call = Callable[..., Any]

SECONDS = 60
START = {
    "bash": ["--norc", "--noprofile"],
    "zsh": ["-f"],
}
SET_UP = {
    "bash": 'eval "$(batchcore completion bash)"',
    "zsh": 'autoload -U compinit; compinit -u; eval "$(batchcore completion zsh)"',
    "fish": "source (batchcore completion fish | psub)",
}
TAB, HOME = "\t", "\x01"


@pytest.fixture(params=SHELLS)
def tab(
    request: pytest.FixtureRequest, here: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Call]:
    """Return what a shell makes of a line at a Tab."""
    shell = request.param
    if shutil.which(shell) is None:
        lacking(f"there is no {shell}; tools/shells.py installs it")
    if shell == "fish":
        yield in_fish
        return
    monkeypatch.setenv("TERM", "xterm")
    child = pexpect.spawn(
        shell,
        START[shell],
        encoding="utf-8",
        timeout=SECONDS,
        dimensions=(24, 200),
    )
    child.sendline("bindkey -e" if shell == "zsh" else "set -o emacs")
    child.sendline(f"{SET_UP[shell]}; echo re''ady")
    child.expect("ready")

    def completed(line: str) -> str:
        # The shell prints the line that Tab has left, instead of carrying it out.
        child.send(f"{line}{TAB}{HOME}echo = \r")
        child.expect(r"[\r\n]= ([^\r\n]*)\r")
        return str(child.match[1]).strip()

    yield completed
    child.close(force=True)


def in_fish(line: str) -> str:
    """Ask fish, which can be asked without a terminal; the answers are told from the last word."""
    script = f"{SET_UP['fish']}; complete --do-complete '{line}'"
    done = subprocess.run(
        ["fish", "--no-config", "--command", script],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    (found,) = done.stdout.splitlines()
    return f"{line.rpartition(' ')[0]} {found.partition(chr(9))[0]}"


def test_a_command(tab: Call) -> None:
    assert tab("batchcore ini") == "batchcore init"


def test_a_command_of_a_command(tab: Call) -> None:
    assert tab("batchcore backends sh") == "batchcore backends show"


def test_an_option(tab: Call) -> None:
    assert tab("batchcore run job.toml --dry") == "batchcore run job.toml --dry-run"


def test_a_run(tab: Call, ran: Call) -> None:
    run = ran("demo")
    assert tab("batchcore logs de") == f"batchcore logs {run}"


def test_a_run_elsewhere(tab: Call, cli: Call, job: Call) -> None:
    run = cli("run", job("demo"), "--runs", "there", "--json").data["run"]
    line = "batchcore status --runs there de"
    assert tab(line) == f"batchcore status --runs there {run}"


def test_a_run_directory(tab: Call, here: Path) -> None:
    (here / "sub/runs").mkdir(parents=True)
    assert tab("batchcore status sub/ru").rstrip("/") == "batchcore status sub/runs"


def test_a_task(tab: Call, ran: Call) -> None:
    run = ran("demo", first="true", second="true")
    assert tab(f"batchcore logs {run} se") == f"batchcore logs {run} second"


def test_a_backend(tab: Call) -> None:
    line = "batchcore run job.toml --backend"
    assert tab(f"{line} local-p") == f"{line} local-process"


def test_a_job_file(tab: Call, job: Call) -> None:
    job("estimate")
    assert tab("batchcore run est") == "batchcore run estimate.toml"


def asked(*words: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Ask as the script of bash does."""
    return subprocess.run(
        [sys.executable, *options, "-m", "batchcore"],
        env={
            **os.environ,
            "_BATCHCORE_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(["batchcore", *words]),
            "COMP_CWORD": str(len(words)),
        },
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_what_cannot_be_answered_is_answered_with_silence(here: Path) -> None:
    done = asked("logs", "no-such-run", "seed")
    assert (done.stdout, done.stderr) == ("", "")


def test_a_broken_job_file_of_a_run_is_answered_with_silence(here: Path, ran: Call) -> None:
    run = ran("demo")
    (here / ".batchcore" / run / "job.json").write_text("{")
    done = asked("logs", run, "a")
    assert (done.stdout, done.stderr) == ("", "")


def test_the_commands_are_offered_without_importing_them() -> None:
    said = asked("", options=("-X", "importtime")).stderr
    verbs = set(re.findall(r"batchcore\.cli\.(\w+)", said))
    assert verbs <= {"completion", "edge", "group", "root", "session"}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_printed_and_nothing_else(cli: Call, shell: str) -> None:
    done = cli("completion", shell)
    assert (done.code, done.err) == (0, "")
    assert "_BATCHCORE_COMPLETE" in done.out


@pytest.mark.parametrize("shell", SHELLS)
def test_the_help_says_where_the_script_goes(cli: Call, shell: str) -> None:
    said = cli("completion", "--help").out
    assert f"batchcore completion {shell}" in said


def test_an_unknown_shell_is_refused_with_those_that_are_known(cli: Call) -> None:
    done = cli("completion", "tcsh")
    assert done.code == 2
    assert "'bash', 'zsh', 'fish'" in done.err
