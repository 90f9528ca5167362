"""What is said of attempts over time; Slurm's programs are small ones that print a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batchcore.backend import RunContext, TaskUpdate
from batchcore.errors import BackendError
from batchcore.plan import Plan
from batchcore.states import FailureReason, TaskState
from batchcore_slurm import answers, stop
from batchcore_slurm.arrays import Book
from batchcore_slurm.commands import Slurm
from batchcore_slurm.watch import Watcher

PATIENCE = 75.0
WIDTHS = [int(field.partition(":")[2]) for field in answers.QUEUE_FORMAT.split(",")]


class Cluster:
    """A run with one attempt in array job 7, and what Slurm's programs say of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.time = 0.0
        programs = folder / "bin"
        programs.mkdir()
        for name in ("squeue", "sacct", "scontrol"):
            self._write(programs / name, f"#!/bin/sh\nexec cat {folder}/{name}.txt\n")
            self._write(folder / f"{name}.txt", "")
        self._write(programs / "scancel", f'#!/bin/sh\necho "$*" >>{folder}/canceled.txt\n')
        self.slurm = Slurm({"PATH": f"{programs}:{os.environ['PATH']}"})
        plan = Plan(name="p", base="/", spec_hash="0", tasks=())
        self.run = RunContext(run_id="r", plan=plan, directory=folder)
        self.array = Book(self.run).draft([("a", 1)])
        Book(self.run).intend(self.array)
        self.array.accept("7")

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def queues(self, *rows: tuple[str, str]) -> None:
        """Let ``squeue`` list these jobs, each with a state, for element 0."""
        lines = [(job, "0", state, "0", "", "n1", self.array.comment) for job, state in rows]
        text = "".join(
            "".join(v.ljust(w) for v, w in zip(line, WIDTHS, strict=True)) + "\n" for line in lines
        )
        (self.folder / "squeue.txt").write_text(text)

    def accounts(self, kind: str, text: str) -> None:
        """Let the cluster keep accounts of a kind, and ``sacct`` print a text."""
        (self.folder / "scontrol.txt").write_text(f"AccountingStorageType = {kind}\n")
        (self.folder / "sacct.txt").write_text(text)

    def mark(self, name: str, text: str = "") -> None:
        (self.array.marks / f"0.{name}").write_text(text)

    def watcher(self) -> Watcher:
        """Return what a new process has."""
        return Watcher(self.slurm, self.run, Book(self.run), PATIENCE, clock=lambda: self.time)

    def cancel(self) -> None:
        stop.cancel(self.slurm, self.run, Book(self.run), ["a"])


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def told(watcher: Watcher) -> TaskUpdate:
    (update,) = watcher.poll("").updates
    return update


def test_an_attempt_that_slurm_has_forgotten_is_lost_after_a_while(cluster: Cluster) -> None:
    watcher = cluster.watcher()
    assert not watcher.poll("").updates
    cluster.time = PATIENCE
    assert told(watcher).reason is FailureReason.NODE_LOST


def test_an_attempt_that_is_there_again_gets_all_its_time_again(cluster: Cluster) -> None:
    watcher = cluster.watcher()
    watcher.poll("")
    cluster.queues(("7", "RUNNING"))
    assert told(watcher).state is TaskState.PREPARING
    cluster.queues()
    cluster.time = PATIENCE
    assert told(watcher).state is TaskState.PREPARING


ACCOUNTS = "accounting_storage/slurmdbd"


def test_the_accounts_say_that_a_failed_command_was_preempted(cluster: Cluster) -> None:
    cluster.mark("exit", "143 -")
    cluster.accounts(ACCOUNTS, "7_0|PREEMPTED|0:15|n1\n")
    assert told(cluster.watcher()).reason is FailureReason.PREEMPTED


@pytest.mark.parametrize("text", ["", "7_0|RUNNING|0:0|n1\n"])
def test_accounts_that_know_of_no_end_are_not_believed(cluster: Cluster, text: str) -> None:
    cluster.mark("exit", "143 -")
    cluster.accounts(ACCOUNTS, text)
    assert told(cluster.watcher()).reason is FailureReason.EXIT_CODE


@pytest.mark.parametrize("kind", ["accounting_storage/none", "(null)", ""])
def test_a_cluster_without_a_database_has_no_accounts(cluster: Cluster, kind: str) -> None:
    cluster.mark("exit", "143 -")
    cluster.accounts(kind, "7_0|PREEMPTED|0:15|n1\n")
    assert told(cluster.watcher()).reason is FailureReason.EXIT_CODE


def test_an_end_that_slurm_told_stands_when_slurm_has_forgotten_it(cluster: Cluster) -> None:
    cluster.mark("exit", "143 -")
    cluster.queues(("7", "PREEMPTED"))
    first = told(cluster.watcher())
    cluster.queues()
    assert first.reason is FailureReason.PREEMPTED
    assert told(cluster.watcher()) == first


def test_an_end_without_a_mark_is_not_canceled_later(cluster: Cluster) -> None:
    cluster.queues(("7", "NODE_FAIL"))
    first = told(cluster.watcher())
    cluster.cancel()
    assert first.reason is FailureReason.NODE_LOST
    assert told(cluster.watcher()) == first


def test_an_end_that_was_told_stands_when_another_word_arrives_late(cluster: Cluster) -> None:
    cluster.mark("begun", "7")
    cluster.queues(("7", "NODE_FAIL"))
    first = told(cluster.watcher())
    cluster.mark("exit", "0 -")
    assert told(cluster.watcher()) == first


def test_a_success_needs_no_other_mark(cluster: Cluster) -> None:
    cluster.mark("exit", "0 -")
    assert told(cluster.watcher()).state is TaskState.SUCCEEDED
    assert cluster.array.told(0) is None


def test_an_end_that_was_half_written_down_is_found_again(cluster: Cluster) -> None:
    cluster.mark("told", '{"task_id"')
    cluster.queues(("7", "NODE_FAIL"))
    assert told(cluster.watcher()).reason is FailureReason.NODE_LOST


def test_a_second_job_that_waits_does_not_hold_back_the_end_in_the_first(cluster: Cluster) -> None:
    cluster.mark("begun", "8")
    cluster.mark("exit", "3 -")
    cluster.queues(("7", "PENDING"), ("8", "FAILED"))
    update = told(cluster.watcher())
    assert (update.reason, update.exit_code) == (FailureReason.EXIT_CODE, 3)
    assert update.native == "8_0 FAILED"


def test_a_task_that_runs_is_listed_as_a_job(cluster: Cluster) -> None:
    cluster.queues(("7", "RUNNING"))
    lines = stop.release(cluster.slurm, cluster.run, Book(cluster.run), dry_run=True)
    assert lines == ["job 7 (1 tasks)", f"directory {cluster.folder / 'work'}"]


def test_a_job_that_clears_up_after_its_tasks_is_not_listed(cluster: Cluster) -> None:
    cluster.mark("exit", "0 -")
    cluster.queues(("7", "COMPLETING"))
    lines = stop.release(cluster.slurm, cluster.run, Book(cluster.run), dry_run=True)
    assert lines == [f"directory {cluster.folder / 'work'}"]


def unreadable(path: Path) -> None:
    """Put something in the place of a path that nobody can read, root or not."""
    was_directory = path.is_dir()
    path.rename(path.with_name("aside"))
    if was_directory:
        path.symlink_to(path.name)
    else:
        path.mkdir()


@pytest.mark.parametrize("name", ["marks", "job", "intent.json", "marks/0.exit"])
def test_a_shared_disk_that_cannot_be_read_may_be_read_later(cluster: Cluster, name: str) -> None:
    cluster.mark("exit", "0 -")
    unreadable(cluster.array.directory / name)
    with pytest.raises(BackendError, match="cannot be read") as caught:
        cluster.watcher().poll("")
    assert caught.value.transient
