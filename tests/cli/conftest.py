"""Commands as a user types them: most within this process, some as a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from batchcore.cli.edge import call
from batchcore.cli.root import root
from batchcore.cli.session import Session
from batchcore.clock import Clock
from batchcore.testing.plugins import install_plugin

__all__ = ["install_plugin"]

SECONDS = 60
FAR = """
from batchcore.backend import BackendSpec
from batchcore.hookspecs import hookimpl

@hookimpl
def batchcore_register_backend():
    return BackendSpec(
        name="far",
        summary="a service in this process",
        factory="batchcore.testing.memory_service:create",
        settings="batchcore.testing.memory_settings:MemorySettings",
        capabilities={},
        remote=True,
        schemes=("memory",),
    )
"""


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What was printed on stdout, which must be JSON and nothing else."""
        return json.loads(self.out)


Cli = Callable[..., Done]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, empty."""
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture
def cli(here: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command in this process."""

    def run(*argv: str, clock: Clock | None = None) -> Done:
        capsys.readouterr()
        code = call(root, Session(argv, clock=clock))
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def process(here: Path) -> Cli:
    """Run a command in a process of its own."""

    def run(*argv: str, program: Sequence[str] = ("-m", "batchcore")) -> Done:
        done = subprocess.run(
            [sys.executable, *program, *argv],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def job(here: Path) -> Callable[..., str]:
    """Write a job file whose tasks are shell lines, and return its name."""

    def write(name: str = "demo", *, more: str = "", **shells: str) -> str:
        tasks = "".join(
            f"[[tasks]]\nid = {json.dumps(task_id)}\nshell = {json.dumps(shell)}\n"
            + ('outputs = ["out.txt"]\n' if "out.txt" in shell else "")
            for task_id, shell in (shells or {"a": "echo hello"}).items()
        )
        (here / f"{name}.toml").write_text(f'name = "{name}"\n{more}\n{tasks}')
        return f"{name}.toml"

    return write


@pytest.fixture
def ran(cli: Cli, job: Callable[..., str]) -> Callable[..., str]:
    """Run a job with these tasks to its end and return the run's id."""

    def run(name: str = "demo", *, more: str = "", **shells: str) -> str:
        report = cli("run", job(name, more=more, **shells), "--json").data
        return str(report["run"])

    return run


@pytest.fixture
def tree(here: Path) -> Callable[[], set[str]]:
    """Return everything in the current directory, but for what SQLite keeps beside a database."""

    def look() -> set[str]:
        paths = (path for path in here.rglob("*") if not path.name.startswith("run.db-"))
        return {str(path.relative_to(here)) for path in paths}

    return look


@pytest.fixture
def far(install_plugin: Callable[..., str]) -> str:
    """The name of a service that other machines reach; `memory` in truth."""
    install_plugin("far", FAR)
    return "far"


@pytest.fixture
def gate(here: Path) -> Gate:
    """Something that a task waits for."""
    return Gate(here / "gate")


class Gate:
    """A file that a task waits for; without it the task gives up after a while."""

    def __init__(self, path: Path) -> None:
        """Begin closed."""
        self.path = path
        self.passed = (
            f"n=0; while [ ! -e {path} ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n+1)); done"
        )

    def open(self) -> None:
        """Let the task go on."""
        self.path.touch()
