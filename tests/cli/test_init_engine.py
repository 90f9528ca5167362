"""The engine that `batchcore init --plugin NAME` writes: stops, ends and what is left behind."""

from __future__ import annotations

import fcntl
import importlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from batchcore.backend import TaskSubmission
from batchcore.errors import TransferError
from batchcore.model import Task
from batchcore.scaffold import project_files, write_project
from batchcore.states import FailureReason, TaskState
from batchcore.testing import Subject, Trial
from batchcore.transfer import write_whole

ENTRY = "[batchcore.backends]\nmy-cluster = batchcore_my_cluster.plugin\n"


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module `engine` of a new project, which is on the path as pip would have put it there."""
    project = tmp_path / "project"
    write_project(project, project_files("my-cluster", "raw"))
    info = project / "batchcore_my_cluster-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: batchcore-my-cluster\nVersion: 0\n"
    )
    (info / "entry_points.txt").write_text(ENTRY)
    monkeypatch.syspath_prepend(project)
    yield importlib.import_module("batchcore_my_cluster.engine")
    for name in [name for name in sys.modules if name.startswith("batchcore_my_cluster")]:
        del sys.modules[name]


@pytest.fixture
def trial(engine: Any, tmp_path: Path) -> Iterator[Trial]:
    del engine  # it must be there
    here = tmp_path / "trial"
    here.mkdir()
    trial = Trial(Subject(backend="my-cluster", seconds=20, pause=0.01), here)
    yield trial
    trial.close()


def place(trial: Trial) -> Path:
    """Return the directory of the first attempt of the task `a`."""
    return trial.directory / "work" / "tasks" / "a" / "1"


def accepted(engine: Any, trial: Trial) -> TaskSubmission:
    """Have the only attempt of a job accepted, and not started."""
    run = trial.open(Task("a", shell="true"))
    engine.accept(run.context, run.attempt("a"))
    return run.attempt("a")


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold a lock as a process of the attempt does."""
    with file.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def test_a_process_that_left_its_group_does_not_keep_a_killed_task_running(
    engine: Any, trial: Trial
) -> None:
    attempt = accepted(engine, trial)
    with subprocess.Popen(["true"], start_new_session=True) as group:
        group.wait()
    (place(trial) / "pid").write_text(f"{group.pid}\n")
    with locked(place(trial) / "lock"):
        update = engine.look(attempt.task, place(trial))
    assert (update.state, update.reason) == (TaskState.FAILED, FailureReason.NODE_LOST)


def test_a_process_that_left_its_group_does_not_keep_an_ended_task_running(
    engine: Any, trial: Trial
) -> None:
    attempt = accepted(engine, trial)
    (place(trial) / "pid").write_text(f"{os.getpgrp()}\n")  # nobody has reaped the group
    (place(trial) / "exit").write_text("0\n")
    with locked(place(trial) / "lock"):
        assert engine.look(attempt.task, place(trial)).state is TaskState.SUCCEEDED


def test_a_task_whose_shell_alone_was_killed_still_runs(engine: Any, trial: Trial) -> None:
    attempt = accepted(engine, trial)
    (place(trial) / "pid").write_text(f"{os.getpgrp()}\n")
    with locked(place(trial) / "lock"):
        assert engine.look(attempt.task, place(trial)).state is TaskState.RUNNING


def test_a_stop_that_was_cut_off_before_its_signal_goes_on(trial: Trial) -> None:
    shell = "trap 'echo asked; exit 3' TERM; echo ready; sleep 600 & wait"
    run = trial.open(Task("a", shell=shell, grace=600))
    run.submit()
    run.until_written("a", b"ready\n")
    write_whole(place(trial) / "stop", b"canceled")
    end = run.end_of("a")
    assert end.state is TaskState.CANCELED
    assert run.log("a") == b"ready\nasked\n"


def test_a_task_is_asked_to_stop_once(
    engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "killpg", lambda *signaled: sent.append(signaled))
    (tmp_path / "pid").write_text("77\n")
    engine.stop(tmp_path, "canceled")
    engine.stop(tmp_path, "canceled")
    assert sent == [(77, signal.SIGTERM)]


def test_a_stop_that_cannot_be_written_leaves_no_empty_one(engine: Any, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(TransferError):
            engine.stop(tmp_path, "canceled")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "stop").exists()


def test_the_end_is_told_when_the_background_has_ended_too(engine: Any, trial: Trial) -> None:
    attempt = accepted(engine, trial)
    (place(trial) / "pid").write_text(f"{os.getpgrp()}\n")
    (place(trial) / "exit").write_text("0\n")
    with locked(place(trial) / "shell"):
        before = engine.look(attempt.task, place(trial))
    after = engine.look(attempt.task, place(trial))
    assert (before.state, before.exit_code) == (TaskState.RUNNING, None)
    assert (after.state, after.exit_code) == (TaskState.SUCCEEDED, 0)


def test_a_group_that_is_another_users_by_now_is_left_alone(
    engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []

    def refuse(group: int, number: int) -> None:
        asked.append((group, number))
        raise PermissionError

    monkeypatch.setattr(os, "killpg", refuse)
    (tmp_path / "pid").write_text("77\n")
    with locked(tmp_path / "lock"):
        assert not engine.runs(tmp_path)
    engine.stop(tmp_path, "canceled")
    assert asked == [(77, 0), (77, signal.SIGTERM)]


def test_a_program_that_cannot_start_tasks_fails_the_task(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trial.open(Task("a", shell="true"))
    (tmp_path / "setsid").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "setsid").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    run.submit()
    end = run.end_of("a")
    assert (end.reason, end.detail) == (FailureReason.START_FAILED, "setsid: exit code 1")
