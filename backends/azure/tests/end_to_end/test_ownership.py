"""Whose things are whose: two controllers, two runs, strangers' things, and things that vanish."""

from __future__ import annotations

import os
import signal
from copy import deepcopy

import pytest

import batchcore as bc
from batchcore import crash
from batchcore.errors import BackendError
from batchcore.events import TaskChanged
from batchcore.run import Run
from batchcore.states import FailureReason, TaskState
from batchcore_azure import watch
from batchcore_azure.names import output_container

IMAGE = "batchcore-test-base:latest"

SLEEPING = {"id": "t", "shell": "echo begun; sleep 600"}
MACHINE = {
    "vmSize": "Standard_D2s_v5",
    "targetDedicatedNodes": 1,
    "taskSlotsPerNode": 4,
    "virtualMachineConfiguration": {
        "imageReference": {"publisher": "microsoft-dsvm", "offer": "ubuntu-hpc", "sku": "2404"},
        "nodeAgentSKUId": "batch.node.ubuntu 24.04",
        "containerConfiguration": {"type": "dockerCompatible"},
    },
}


@pytest.fixture
def instant(serve):
    """An account whose machines run nothing, and a job of two tasks."""
    cloud = serve(instant=True)
    resources = [{"path": "in", "text": "hello"}]
    cloud.job({"id": "a"}, {"id": "b"}, shell="cp in o", resources=resources, outputs=["o"])
    return cloud


@pytest.fixture
def recorded(instant, monkeypatch):
    """The same after its controller was killed before it had asked anything of Azure."""
    with monkeypatch.context() as patch:
        patch.setenv(crash.VARIABLE, "record.created")
        assert instant.process(*instant.words()).code == -signal.SIGKILL
    return instant


@pytest.fixture
def running(cloud):
    """A run in a process of its own whose one task sleeps for long."""
    cloud.job(SLEEPING)
    cloud.child = cloud.start()
    cloud.until(lambda: cloud.task_states() == ["running"])
    return cloud


# -- two controllers, two runs


@pytest.mark.docker
def test_a_second_controller_in_the_directory_is_refused_and_the_first_goes_on(running):
    assert running.run().code == 9
    assert running.child.poll() is None
    assert running.starts == [(running.loaded().id, "t")]


def test_the_same_job_in_two_directories_is_two_runs_that_share_nothing(instant):
    for name in ("one", "two"):
        words = ("run", "job.json", "--backend", "azure", "--dir", name)
        assert instant.cli(*words).code == 0
    ids = [Run.load(instant.here / name).id for name in ("one", "two")]
    assert sorted(instant.job_ids()) == sorted(ids)
    assert {name.partition("/")[0] for name in instant.blobs_of("batchcore")} == set(ids)
    assert instant.cli("clean", "one", "--yes").code == 0
    assert instant.job_ids() == ids[1:]
    assert instant.pool_ids() == [f"{ids[1]}-pool"]
    assert {name.partition("/")[0] for name in instant.blobs_of("batchcore")} == {ids[1]}
    assert instant.cli("fetch", "two", "--verify-only").code == 0


# -- what belongs to others


@pytest.mark.parametrize(
    "metadata", [[], [{"name": "batchcore.run", "value": "another"}]], ids=["foreign", "other run"]
)
def test_a_job_of_somebody_else_with_our_id_is_a_conflict_and_stays_as_it_is(recorded, metadata):
    recorded.state.create_pool({"id": "theirs", **MACHINE})
    recorded.state.create_job(
        {"id": recorded.loaded().id, "poolInfo": {"poolId": "theirs"}, "metadata": metadata}
    )
    before = deepcopy(recorded.state.jobs()[0].body)
    done = recorded.run()
    assert done.code == 9
    assert "--fresh" in done.err
    assert recorded.state.jobs()[0].body == before
    assert recorded.task_states() == []


def test_a_task_of_somebody_else_in_our_job_is_a_conflict_and_is_not_taken_for_ours(
    recorded, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setenv(crash.VARIABLE, "azure.job_made")
        assert recorded.process(*recorded.words()).code == -signal.SIGKILL
    job = recorded.loaded().id
    container = {"containerSettings": {"imageName": IMAGE}}
    recorded.state.add_task(job, {"id": "B", "commandLine": "theirs", **container})
    assert recorded.run().code == 9
    assert recorded.state.task(job, "b").body["commandLine"] == "theirs"


def test_a_pool_of_somebody_else_with_our_id_is_a_conflict_and_stays(recorded):
    pool = f"{recorded.loaded().id}-pool"
    recorded.state.create_pool({"id": pool, **MACHINE})
    assert recorded.run().code == 9
    assert recorded.emulator.requests.count("PATCH") == 0
    assert (recorded.pool_ids(), recorded.job_ids()) == ([pool], [])


def test_a_container_of_somebody_else_with_our_name_is_a_conflict_and_stays(recorded):
    name = output_container(recorded.loaded().id)
    recorded.blobs.create_container(name).upload_blob("theirs", b"theirs")
    assert recorded.run().code == 9
    assert recorded.blobs_of(name) == ["theirs"]
    assert (recorded.pool_ids(), recorded.job_ids()) == ([], [])


def test_a_pool_and_containers_that_are_named_are_used_as_they_are_and_never_deleted(instant):
    instant.state.create_pool({"id": "theirs", **MACHINE})
    for name in ("shared-in", "shared-out"):
        instant.blobs.create_container(name).upload_blob("theirs", b"theirs")
    done = instant.run(
        "--set=pool=theirs",
        "--set=container=shared-in",
        "--set=output_container=shared-out",
        "--set=delete_pool_when_done=true",
        "--set=delete_container_when_done=true",
        "--set=delete_job_when_done=true",
    )
    assert done.code == 0, done.err
    assert instant.cli("clean", "run", "--yes").code == 0
    assert (instant.job_ids(), instant.pool_ids()) == ([], ["theirs"])
    assert instant.containers() == ["shared-in", "shared-out"]
    assert [instant.blobs_of(name) for name in instant.containers()] == [["theirs"], ["theirs"]]


# -- what vanishes


@pytest.fixture
def drive(cloud, monkeypatch):
    """Run a job of one task, and do something as soon as that runs; return how the task ended."""
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0)

    def run(shell: str, vanish=lambda: None):
        told: list[str] = []

        def hear(event) -> None:
            if isinstance(event, TaskChanged) and event.new is TaskState.RUNNING and not told:
                told.append(event.task_id)
                vanish()

        job = bc.Job("demo", image=IMAGE, shell=shell, outputs=["o"], interruptions=0)
        job = job.with_task("t")
        return bc.run_job(job, backend="azure", directory=cloud.directory, observers=[hear]).task(
            "t"
        )

    return run


@pytest.mark.docker
def test_a_job_that_is_deleted_meanwhile_ends_its_tasks(drive, cloud):
    task = drive("sleep 600", lambda: cloud.state.delete_job(cloud.job_ids()[0]))
    assert (task.reason, task.attempt) == (FailureReason.BACKEND, 1)
    assert f"the job {cloud.loaded().id} was deleted" in task.detail


@pytest.mark.docker
def test_a_pool_that_is_deleted_meanwhile_ends_its_tasks_for_good(drive, cloud):
    task = drive("sleep 600", lambda: cloud.state.delete_pool(cloud.pool_ids()[0]))
    assert (task.reason, task.attempt) == (FailureReason.BACKEND, 1)
    assert f"the pool {cloud.loaded().id}-pool does not exist any more" in task.detail
    assert [job.state for job in cloud.state.jobs()] == ["completed"]


@pytest.mark.docker
def test_after_a_pool_was_deleted_the_same_command_makes_another_and_starts_nothing_twice(
    drive, cloud
):
    shell = 'test "$BATCHCORE_ATTEMPT" = 2 || sleep 600; echo 1 > o'
    drive(shell, lambda: cloud.state.delete_pool(cloud.pool_ids()[0]))
    assert drive(shell).state is TaskState.SUCCEEDED
    run = cloud.loaded().id
    assert cloud.starts == [(run, "t"), (f"{run}-a2", "t")]


@pytest.mark.docker
def test_a_container_that_is_deleted_meanwhile_stops_the_command_and_the_same_one_goes_on(
    drive, cloud
):
    def vanish() -> None:
        (name,) = (name for name in cloud.containers() if name.startswith("bc-"))
        cloud.blobs.delete_container(name)

    shell = "sleep 2; echo 1 > o"
    with pytest.raises(BackendError, match="container does not exist") as stopped:
        drive(shell, vanish)
    assert "the same command makes it again" in stopped.value.hint
    assert drive(shell).reason is FailureReason.OUTPUT_UPLOAD
    assert drive(shell).state is TaskState.SUCCEEDED


# -- a controller that dies


@pytest.mark.docker
def test_a_job_goes_on_without_its_controller_and_the_next_one_only_collects(cloud):
    cloud.job(
        *({"id": f"t{n}", "shell": f"sleep 1; echo {n} > o"} for n in range(6)), outputs=["o"]
    )
    child = cloud.start()
    cloud.until(lambda: "running" in cloud.task_states() and len(cloud.task_states()) == 6)
    cloud.says(lambda: cloud.state.jobs()[0].body["onAllTasksComplete"] == "terminatejob")
    os.kill(child.pid, signal.SIGKILL)
    cloud.until(lambda: [job.state for job in cloud.state.jobs()] == ["completed"])
    cloud.emulator.requests.clear()
    assert cloud.run().code == 0
    assert [path.read_text() for path in cloud.loaded().output_files] == [
        f"{n}\n" for n in range(6)
    ]
    assert len(cloud.starts) == 6
    assert cloud.emulator.requests.count("POST", "**/addtaskcollection") == 0
