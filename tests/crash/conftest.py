from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from batchcore.run import Run

CONTROLLER = """
import sys
import batchcore as bc
from batchcore.events import TaskChanged

image = {image!r}
count = int({tasks!r})
line = 'echo x >> "$COUNTER"; cat in; sleep {seconds}; cat in > out.txt'
tasks = [
    bc.Task(
        f"t{{n}}",
        resources=[bc.Resource("in", text=f"hello {{n}}\\n")],
        outputs=[bc.Output("out.txt", to=f"{{n}}.txt")],
        env={{"COUNTER": f"{counters}/t{{n}}"}},
    )
    for n in range(count)
]
mounts = [bc.Mount({counters!r}, source={counters!r}, read_only=False)] if image else []
job = bc.Job("crash", image=image, shell=line, tasks=tasks, mounts=mounts)
run = bc.run_job(job, backend={backend!r}, directory="run")
for path in run.output_files:
    print(path.read_text(), end="")
"""


class Controller:
    """A controller script that can be killed at a named point and run again."""

    def __init__(
        self, directory: Path, backend: str, image: str | None, *, tasks: int, seconds: float
    ) -> None:
        self.directory = directory
        self.tasks = tasks
        self.counters = directory / "counters"
        self.counters.mkdir()
        self.script = directory / "controller.py"
        self.script.write_text(
            CONTROLLER.format(
                image=image,
                tasks=tasks,
                backend=backend,
                seconds=seconds,
                counters=str(self.counters),
            )
        )

    def run(self, crash_at: str = "") -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "BATCHCORE_CRASH_AT": crash_at}
        if not crash_at:
            del environment["BATCHCORE_CRASH_AT"]
        return subprocess.run(
            [sys.executable, str(self.script)],
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def killed_at(self, point: str) -> bool:
        """Run until the point; return whether it was reached."""
        return self.run(point).returncode == -signal.SIGKILL

    def executions(self) -> dict[str, int]:
        """Return how often each task's command was started."""
        return {p.name: len(p.read_text().split()) for p in sorted(self.counters.iterdir())}

    def expected(self) -> str:
        """Return what an undisturbed run prints."""
        return "".join(f"hello {n}\n" for n in range(self.tasks))

    def run_id(self) -> str:
        """Return the id of the run that the script makes."""
        return Run.load(self.directory / "run").id


@pytest.fixture
def controller(tmp_path: Path):
    """Make a controller for a backend."""

    def make(
        backend: str, image: str | None = None, *, tasks: int = 4, seconds: float = 0
    ) -> Controller:
        return Controller(tmp_path, backend, image, tasks=tasks, seconds=seconds)

    return make
