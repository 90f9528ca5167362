"""What a worker can leave as the caller, through the real backends and the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BACKENDS = ["local-process", pytest.param("local-docker", marks=pytest.mark.docker)]
SECONDS = 100
LEAVES = "'out' is a link that leaves the working directory"
SOCKET = "import socket; socket.socket(socket.AF_UNIX).bind('out')"

# What the worker does, the reason with which its task fails, the words.
FAILS: dict[str, tuple[str, str, str]] = {
    "passwd": ("ln -s /etc/passwd out", "output_unsafe", LEAVES),
    "root": ("ln -s / out", "output_unsafe", LEAVES),
    "up": ("ln -s ../../.. out", "output_unsafe", LEAVES),
    "sibling": ("ln -s ../stdout.txt out", "output_unsafe", LEAVES),
    "loop": ("ln -s b out; ln -s out b", "output_unsafe", "'out' is a link that never ends"),
    "itself": ("ln -s out out", "output_unsafe", "'out' is a link that never ends"),
    "nothing": ("ln -s no out", "output_unsafe", "'out' is a link to nothing"),
    "pipe": ("mkfifo out", "output_unsafe", "'out' is a named pipe"),
    "socket": (f'python3 -c "{SOCKET}"', "output_unsafe", "'out' is a socket"),
    "directory": ("mkdir out", "output_unsafe", "'out' is a directory"),
    "hole": (
        "truncate -s 15T out",
        "output_unsafe",
        "'out' is mostly a hole: its 15360.0 GiB do not fit",
    ),
    "absent": ("echo x > Out", "output_missing", "'out' was not written; the task left 'Out'"),
    "forged": (
        r"echo x > $(printf 'a\033[2J')",
        "output_missing",
        r"'out' was not written; the task left 'a\x1b[2J'",
    ),
    "removed": (
        "rm -r ../wd",
        "output_unsafe",
        "the working directory cannot be read: No such file or directory",
    ),
    "replaced": (
        "mv ../wd ../old; ln -s /etc ../wd",
        "output_unsafe",
        "the working directory was replaced by a link",
    ),
}

# What the worker does to its log, which costs it the log alone.
LOGS = {
    "log-link": "rm ../stdout.txt; ln -s /etc/passwd ../stdout.txt; echo x > out",
    "log-pipe": "rm ../stdout.txt; mkfifo ../stdout.txt; echo x > out",
    "log-directory": "rm ../stdout.txt; mkdir ../stdout.txt; echo x > out",
    "log-gone": "rm ../stdout.txt ../stderr.txt; echo x > out",
}


class Ended:
    """A run of the command line that has ended, and what it said."""

    def __init__(self, directory: Path, backend: str, image: str | None) -> None:
        lines = {name: row[0] for name, row in FAILS.items()} | LOGS
        tasks = [
            {"id": name, "shell": line, "outputs": ["out"], "timeout": "1m"}
            for name, line in lines.items()
        ]
        job: dict[str, Any] = {"name": "hostile", "tasks": tasks}
        if image:
            job["image"] = image
        (directory / "job.json").write_text(json.dumps(job))
        self.directory = directory
        self.done = self.command("run", "job.json", "--backend", backend, "--json")
        self.report = json.loads(self.done.stdout)
        self.tasks = {task["id"]: task for task in self.report["tasks"]}

    def command(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "batchcore", *argv],
            cwd=self.directory,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str | None], Ended]:
    """Return a function that runs the whole table on a backend, once."""
    runs: dict[str, Ended] = {}

    def run(backend: str, image: str | None) -> Ended:
        if backend not in runs:
            runs[backend] = Ended(tmp_path_factory.mktemp(backend), backend, image)
        return runs[backend]

    return run


@pytest.fixture(params=BACKENDS)
def run(request: pytest.FixtureRequest, ended: Callable[[str, str | None], Ended]) -> Ended:
    in_container = request.param == "local-docker"
    image = request.getfixturevalue("worker_base_image") if in_container else None
    return ended(request.param, image)


def test_the_run_ends_with_failed_tasks(run: Ended) -> None:
    assert run.done.returncode == 3
    assert run.report["counts"] == {"failed": len(FAILS), "succeeded": len(LOGS)}


@pytest.mark.parametrize("task", FAILS)
def test_a_task_fails_with_the_reason_and_the_name(run: Ended, task: str) -> None:
    _, reason, words = FAILS[task]
    found = run.tasks[task]
    assert (found["state"], found["reason"], found["exit_code"]) == ("failed", reason, 0)
    assert found["detail"].startswith(words)
    assert found["outputs"] == []


@pytest.mark.parametrize("task", LOGS)
def test_a_log_that_is_none_harms_nobody(run: Ended, task: str) -> None:
    assert run.tasks[task]["state"] == "succeeded"
    shown = run.command("logs", run.report["run"], task, "--stdout")
    assert (shown.returncode, shown.stdout) == (0, "")


def test_nothing_but_whole_files_of_the_workers_own_is_in_the_outputs(run: Ended) -> None:
    outputs = Path(run.report["directory"]) / "outputs"
    found = {str(p.relative_to(outputs)) for p in outputs.rglob("*") if not p.is_dir()}
    assert found == {f"{task}/out" for task in LOGS}


def test_no_detail_acts_on_a_terminal(run: Ended) -> None:
    shown = run.command("status", run.report["run"])
    assert shown.returncode == 0
    assert "\x1b" not in shown.stdout + shown.stderr
