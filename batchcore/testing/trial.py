"""One test's dealings with a backend: whole runs, single calls, and a controller that dies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from batchcore.backend import FEATURES, BackendSpec, Capability, RunContext
from batchcore.clock import SystemClock
from batchcore.crash import VARIABLE
from batchcore.events import Observer
from batchcore.jobfile import dump_job
from batchcore.life.manage import open_backend
from batchcore.life.start import Options, Prepared, drive, prepare
from batchcore.model import Job, Task
from batchcore.plugins import Plugins
from batchcore.run import Run
from batchcore.testing.deadline import Deadline, DriverClock, says
from batchcore.testing.opened import Opened
from batchcore.testing.patient import PatientBackend
from batchcore.testing.subject import Subject


class Trial:
    """What a conformance test works with; made for one test, `close` gives all of it back.

    `here` is an empty directory for the job's files, `directory` the run directory.
    """

    def __init__(self, subject: Subject, here: Path) -> None:
        """Create nothing yet."""
        self.subject = subject
        self.here = here
        self.directory = here / "run"
        self._stack = ExitStack()
        self._to_clean: set[Path] = set()

    @property
    def spec(self) -> BackendSpec:
        """What the backend declares."""
        return Plugins().spec(self.subject.backend)

    def capability(self, feature: str) -> Capability:
        """Return how the backend provides a feature."""
        assert feature in FEATURES, f"there is no feature {feature!r}"
        return self.spec.capability(feature)

    def needs(self, *features: str) -> None:
        """Skip the test where the backend declares one of the features unsupported."""
        for feature in features:
            capability = self.capability(feature)
            if capability.level == "unsupported":
                pytest.skip(f"{self.subject.backend}: no {feature}: {capability.reason}")

    def job(self, *tasks: Task, **fields: Any) -> Job:
        """Return a job of these tasks for the backend; `fields` are the job's other fields."""
        options = {self.subject.backend: dict(self.subject.options)}
        known = {"image": self.subject.image, "backend_options": options}
        return Job("conformance", tasks=tasks, **{**known, **fields})

    def prepare(self, *tasks: Task, **fields: Any) -> Prepared:
        """Plan and check such a job; nothing of it is created."""
        options = Options(backend=self.subject.backend, directory=self.directory)
        return prepare(self.job(*tasks, **fields), options, base=self.here)

    def run(self, *tasks: Task, observers: Iterable[Observer] = (), **fields: Any) -> Run:
        """Drive such a job to its end, or go on with it, as `Job.run` does."""
        return self.drive(self.prepare(*tasks, **fields), observers)

    def drive(self, prepared: Prepared, observers: Iterable[Observer] = ()) -> Run:
        """Drive a job that is prepared to its end; what it leaves goes when the test ends.

        Fails when nothing was told of its tasks for as long as the subject may take.
        """
        self._clean_later(prepared.directory)
        clock = DriverClock(self.subject.pause, self.subject.seconds)
        return drive(prepared, [*observers, clock.observe], clock=clock)

    def open(self, *tasks: Task, **fields: Any) -> Opened:
        """Return the run of such a job, staged and not submitted, to call its backend directly.

        What it created is released when the test ends.
        """
        opened = Opened(self.prepare(*tasks, **fields), self.subject)
        self._stack.callback(opened.end)
        opened.stage()
        return opened

    def controller(
        self, *tasks: Task, crash_at: str = "", **fields: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run such a job by the command line in a process of its own, and return how that ended.

        With `crash_at` the process is killed at that point of `batchcore.crash.POINTS`.
        """
        file = self.write_job(*tasks, **fields)
        options = ["--backend", self.subject.backend, "--dir", str(self.directory)]
        return self.python("-m", "batchcore", "run", str(file), *options, crash_at=crash_at)

    def write_job(self, *tasks: Task, **fields: Any) -> Path:
        """Write such a job as a file and return its path."""
        file = self.here / "job.json"
        file.write_text(dump_job(self.job(*tasks, **fields)), encoding="utf-8")
        return file

    def python(self, *words: str, crash_at: str = "") -> subprocess.CompletedProcess[str]:
        """Run this Python with these words in a process of its own, to its end.

        A run that it leaves in `directory` is released when the test ends.
        """
        self._clean_later(self.directory)
        try:
            return subprocess.run(
                [sys.executable, *words],
                cwd=self.here,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), VARIABLE: crash_at},
                capture_output=True,
                text=True,
                check=False,
                timeout=self.subject.seconds,
            )
        except subprocess.TimeoutExpired as exc:
            said = f"not within {exc.timeout} s, but it said {exc.stdout!r} and {exc.stderr!r}"
            contract = "a run in a process of its own comes to its end"
            raise AssertionError(says(contract, said)) from None

    def until(self, happened: Callable[[], bool], contract: str) -> None:
        """Wait until something has happened; fail with what the contract says if it never does."""
        deadline = Deadline(self.subject.seconds)
        while not happened():
            deadline.hold(contract, "it did not happen")
            SystemClock().sleep(self.subject.pause)

    def close(self) -> None:
        """Release what was opened, and what runs have left."""
        self._stack.close()

    def _clean_later(self, directory: Path) -> None:
        if directory not in self._to_clean:
            self._to_clean.add(directory)
            self._stack.callback(self._clean, directory)

    def _clean(self, directory: Path) -> None:
        """Release a run, also one that nobody has brought to its end."""
        if not (directory / "job.json").exists():
            return
        run = Run.load(directory)
        context = RunContext(run_id=run.id, plan=run.plan, directory=run.directory)
        with open_backend(run) as backend:
            PatientBackend(backend, self.subject.pause).release(context, dry_run=False)
