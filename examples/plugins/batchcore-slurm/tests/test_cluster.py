"""On a real cluster of one node: what only Slurm itself can show."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchcore.errors import BackendError, EnvironmentNotReady, JobError, SettingsError
from batchcore.model import Requirements, Task
from batchcore.run import Run
from batchcore.states import FailureReason, TaskState
from batchcore.testing import Subject, Trial
from batchcore_slurm.commands import Slurm
from batchcore_slurm.options import array_options
from batchcore_slurm.script import TAKEN

SOURCE = Path(__file__).resolve().parents[4] / "examples" / "sum_of_powers"
SUM = "9.532962532158818"
LONG = 'trap "exit 9" TERM; echo up; while :; do sleep 0.1; done'


@pytest.fixture
def trial(cluster: Path, tmp_path: Path) -> Iterator[Trial]:
    here = tmp_path / "trial"
    here.mkdir()
    trial = Trial(Subject(backend="slurm", options={"patience": 0.5}), here)
    yield trial
    trial.close()


def slurm(*words: str) -> str:
    """Call a program of Slurm and return what it prints."""
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout


def jobs_of(run_id: str) -> list[str]:
    """Return the array jobs of a run that Slurm remembers."""
    words = ("--noheader", "--states=all", f"--name=bc-{run_id}", "--format=%F")
    return sorted(set(slurm("squeue", *words).split()))


def with_options(trial: Trial, **options: Any) -> dict[str, Any]:
    return {"backend_options": {"slurm": {**trial.subject.options, **options}}}


def test_a_partition_that_does_not_exist_is_refused_before_anything_is_made(trial: Trial) -> None:
    with pytest.raises(JobError, match="invalid partition specified: nope"):
        trial.run(Task("a", shell="true"), **with_options(trial, partition="nope"))
    assert not trial.directory.exists()


@pytest.mark.parametrize("wanted", [{"memory": "900TiB"}, {"cpus": 9999}, {"gpus": 1}])
def test_what_no_node_has_is_refused_before_anything_is_made(
    trial: Trial, wanted: dict[str, Any]
) -> None:
    with pytest.raises(JobError, match="Slurm would refuse task 'a'"):
        trial.run(Task("a", shell="true", requirements=Requirements(**wanted)))
    assert not trial.directory.exists()


@pytest.mark.parametrize("options", [{"partitoin": "batch"}, {"sbatch_options": ["--requeue"]}])
def test_a_wrong_option_is_refused_before_anything_is_made(
    trial: Trial, options: dict[str, Any]
) -> None:
    with pytest.raises(SettingsError):
        trial.run(Task("a", shell="true"), **with_options(trial, **options))
    assert not trial.directory.exists()


def test_options_of_sbatch_reach_the_job(trial: Trial) -> None:
    fields = with_options(trial, partition="short", sbatch_options=["--nice=7"])
    run = trial.run(
        Task("a", shell='echo "$SLURM_JOB_PARTITION"; scontrol show job "$SLURM_JOB_ID"'), **fields
    )
    text = run.log("a").decode()
    assert text.startswith("short\n")
    assert "Nice=7" in text


def test_tasks_with_the_same_needs_are_one_array_job(trial: Trial) -> None:
    run = trial.open(
        *(Task(f"t{n}", shell="true") for n in range(5)),
        Task("large", shell="true", requirements=Requirements(cpus=2)),
    )
    run.submit()
    assert len(jobs_of(run.context.run_id)) == 2


def test_an_array_job_is_no_larger_than_the_cluster_takes(trial: Trial) -> None:
    run = trial.open(*(Task(f"t{n}", shell="true") for n in range(70)))
    run.submit()
    assert len(jobs_of(run.context.run_id)) == 2
    for n in range(70):
        assert run.end_of(f"t{n}").state is TaskState.SUCCEEDED


@pytest.mark.parametrize("point", ["slurm.intended", "slurm.accepted"])
def test_a_controller_killed_around_sbatch_submits_once(trial: Trial, point: str) -> None:
    task = Task("a", shell="cat /proc/sys/kernel/random/uuid")
    assert trial.controller(task, crash_at=point).returncode == -9
    before = jobs_of(Run.load(trial.directory).id)
    assert len(before) == (point == "slurm.accepted")
    run = trial.run(task)
    assert run.state == "succeeded"
    assert jobs_of(run.id)[: len(before)] == before
    assert len(jobs_of(run.id)) == 1


def test_an_array_job_that_was_submitted_twice_runs_each_task_once(trial: Trial) -> None:
    run = trial.open(Task("a", shell="cat /proc/sys/kernel/random/uuid"))
    run.submit()
    run.end_of("a")
    first = run.log("a")
    (place,) = (trial.directory / "work" / ".slurm").iterdir()
    name = f"bc-{run.context.run_id}"
    script = f". {place}/$SLURM_ARRAY_TASK_ID.sh"
    words = ["sbatch", "--wait", *array_options(name, "again", 1), f"--wrap={script}"]
    assert subprocess.run(words, check=False, capture_output=True, timeout=60).returncode == TAKEN
    assert run.log("a") == first


def test_a_task_that_a_late_job_began_is_followed_there(trial: Trial) -> None:
    go = trial.here / "go"
    shell = f"echo up; until [ -e {go} ]; do sleep 0.1; done; echo done"
    run = trial.open(Task("a", shell=shell), **with_options(trial, sbatch_options=["--hold"]))
    run.submit()
    (ours,) = jobs_of(run.context.run_id)
    (place,) = (trial.directory / "work" / ".slurm").iterdir()
    script = f". {place}/$SLURM_ARRAY_TASK_ID.sh"
    slurm("sbatch", *array_options(f"bc-{run.context.run_id}", "late", 1), f"--wrap={script}")
    trial.until((place / "marks" / "0.running").exists, "the late job begins")
    slurm("scontrol", "release", ours)
    words = ("squeue", "--noheader", "--states=FAILED", f"--jobs={ours}", "--format=%F")
    trial.until(lambda: ours in slurm(*words), "the other one gives up")
    for _ in range(10):
        assert not any(update.state.final for update in run.poll()), run.updates
    go.touch()
    assert run.end_of("a").state is TaskState.SUCCEEDED
    assert run.log("a") == b"up\ndone\n"


def forget(trial: Trial) -> None:
    """Let the run's array job be one that Slurm has never heard of."""
    (place,) = (trial.directory / "work" / ".slurm").iterdir()
    for name in ("job", "marks/0.begun"):
        (place / name).write_text("4000000")


def test_an_end_is_known_when_slurm_has_forgotten_the_job(trial: Trial) -> None:
    run = trial.open(Task("a", shell="exit 4"))
    run.submit()
    run.end_of("a")
    forget(trial)
    run.reopen()
    end = run.end_of("a")
    assert (end.reason, end.exit_code) == (FailureReason.EXIT_CODE, 4)


def test_a_job_that_slurm_does_not_know_and_that_left_no_word_is_lost(trial: Trial) -> None:
    run = trial.open(Task("a", shell=LONG))
    run.submit()
    run.until_running("a")
    forget(trial)
    run.reopen()
    assert run.end_of("a").reason is FailureReason.NODE_LOST


def test_a_task_that_somebody_cancels_in_slurm_is_canceled(trial: Trial) -> None:
    run = trial.open(Task("a", shell=LONG))
    run.submit()
    run.until_running("a")
    slurm("scancel", f"--name=bc-{run.context.run_id}")
    assert run.end_of("a").state is TaskState.CANCELED


def test_a_task_that_must_give_way_is_preempted(trial: Trial) -> None:
    run = trial.open(Task("a", shell=LONG, requirements=Requirements(cpus=16)))
    run.submit()
    run.until_running("a")
    slurm("sbatch", "--partition=urgent", "--cpus-per-task=16", "--output=/dev/null", "--wrap=true")
    end = run.end_of("a")
    assert (end.state, end.reason) == (TaskState.FAILED, FailureReason.PREEMPTED)


def test_a_task_that_waits_says_for_what(trial: Trial) -> None:
    run = trial.open(Task("a", shell="true"), **with_options(trial, sbatch_options=["--hold"]))
    run.submit()
    told = run.until(lambda update: "JobHeldUser" in update.detail, "a waiting task says why")
    assert told.state is TaskState.QUEUED
    run.backend.cancel(run.context, ["a"])
    assert run.end_of("a").state is TaskState.CANCELED


def test_a_machine_without_slurm_is_told_what_to_install() -> None:
    with pytest.raises(EnvironmentNotReady, match="there is no program 'sbatch'") as caught:
        Slurm({"PATH": "/nonexistent"}).problem(())
    assert "slurm-client" in caught.value.hint


def test_a_controller_that_does_not_answer_may_do_so_later(cluster: Path, tmp_path: Path) -> None:
    config = (cluster / "slurm.conf").read_text()
    lines = [line for line in config.splitlines() if not line.startswith("SlurmctldPort")]
    silent = tmp_path / "slurm.conf"
    silent.write_text("\n".join([*lines, "SlurmctldPort=1", "MessageTimeout=2", ""]))
    with pytest.raises(BackendError) as caught:
        Slurm({"PATH": os.environ["PATH"], "SLURM_CONF": str(silent)}).queue("x")
    assert caught.value.transient


def test_nothing_of_the_controllers_environment_goes_to_slurm(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "token-1234")
    run = trial.run(Task("a", shell="env"))
    assert "token-1234" not in run.log("a").decode()


@pytest.mark.docker
def test_a_task_runs_in_its_image(trial: Trial, worker_base_image: str) -> None:
    fields = with_options(trial, containers="docker")
    task = Task("a", shell="test -e /.dockerenv", image=worker_base_image)
    run = trial.run(task, **fields)
    assert run.state == "succeeded", run.log("a", "stderr").decode()


@pytest.mark.docker
def test_a_container_ends_with_its_task(
    trial: Trial, worker_base_image: str, docker_client: Any
) -> None:
    fields = with_options(trial, containers="docker")
    shell = 'trap "" TERM; echo up; while :; do sleep 0.1; done'
    run = trial.open(Task("a", shell=shell, image=worker_base_image, grace=0.5), **fields)
    run.submit()
    run.until_running("a")
    trial.until(
        lambda: run.backend.read_log(run.context, run.attempt("a"), "stdout", 0).data == b"up\n",
        "the container writes to the log",
    )
    run.backend.cancel(run.context, ["a"])
    assert run.end_of("a").state is TaskState.CANCELED
    name = f"bc-{run.context.run_id}-a-1"
    assert not docker_client.containers.list(all=True, filters={"name": name})


@pytest.fixture
def example(cluster: Path, tmp_path: Path) -> Path:
    """A copy of the example."""
    copy = tmp_path / "sum_of_powers"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__", ".batchcore"))
    return copy


PLAIN = '[backend.slurm.image_paths]\n"/worker.py" = "worker.py"\n"/task.py" = "task.py"\n'
IN_DOCKER = '[backend.slurm]\ncontainers = "docker"\n'


@pytest.mark.parametrize(
    "settings", [PLAIN, pytest.param(IN_DOCKER, marks=pytest.mark.docker)], ids=["plain", "docker"]
)
def test_the_example_gives_its_sum(
    example: Path, settings: str, request: pytest.FixtureRequest
) -> None:
    if settings == IN_DOCKER:
        client = request.getfixturevalue("docker_client")
        base = request.getfixturevalue("worker_base_image")
        tag = "batchcore-slurm-example:v1"
        client.images.build(path=str(example), tag=tag, buildargs={"BASE_IMAGE": base}, rm=True)
        request.addfinalizer(lambda: client.images.remove(tag))
        controller = example / "controller.py"
        controller.write_text(controller.read_text().replace("sum-of-powers:v1", tag))
    (example / "batchcore.toml").write_text(settings)
    done = subprocess.run(
        [sys.executable, "controller.py", "--backend", "slurm"],
        cwd=example,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == SUM
