"""Options of sbatch, and commands in containers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from batchcore.local import Attempt
from batchcore.model import Requirements
from batchcore.plan import PlannedTask
from batchcore_slurm.containers import Wrapped, wrap
from batchcore_slurm.options import array_options, task_options
from batchcore_slurm.settings import SlurmSettings


def task(**fields: Any) -> PlannedTask:
    return PlannedTask(id="a", command=("prog", "x"), **fields)


def options(settings: SlurmSettings | None = None, **fields: Any) -> tuple[str, ...]:
    return task_options(task(**fields), settings or SlurmSettings())


def test_a_task_that_asks_for_nothing_gets_the_clusters_defaults() -> None:
    assert options() == ("--nodes=1", "--ntasks=1")


def test_what_a_task_needs_is_rounded_up() -> None:
    wanted = Requirements(cpus=1.5, memory="64.5MiB", gpus=2)
    assert options(requirements=wanted)[2:] == ("--cpus-per-task=2", "--mem=65M", "--gres=gpu:2")


def test_slurms_own_time_limit_comes_after_the_nodes() -> None:
    assert options(timeout=61.0, grace=10.0)[-1] == "--time=7"


def test_the_users_options_come_first_and_so_give_way() -> None:
    settings = SlurmSettings(partition="p", qos="q", sbatch_options=("--mem=1G", "--nice"))
    given = options(settings, requirements=Requirements(memory="2MiB"))
    assert given == (
        *("--mem=1G", "--nice", "--partition=p", "--qos=q"),
        *("--nodes=1", "--ntasks=1", "--mem=2M"),
    )


def test_slurm_itself_never_runs_a_task_again() -> None:
    given = array_options("bc-r", "batchcore:1", 3)
    assert {"--no-requeue", "--array=0-2", "--job-name=bc-r"} <= set(given)


@pytest.mark.parametrize(
    "option",
    ["--array=1", "--arr=1", "--output=x", "--requeue", "--wrap=x", "-n4", "partition=x", "--a b"],
)
def test_an_option_that_would_break_this_backend_is_refused(option: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"option|decides"):
        msgspec.convert({"sbatch_options": [option]}, SlurmSettings)


@pytest.mark.parametrize("option", ["--constraint=a&b", "--exclusive", "--time=10", "--nice=5"])
def test_other_options_are_passed_on(option: str) -> None:
    assert option in options(msgspec.convert({"sbatch_options": [option]}, SlurmSettings))


def wrapped(containers: str, **fields: Any) -> Wrapped:
    settings = msgspec.convert({"containers": containers}, SlurmSettings)
    attempt = Attempt(
        run_id="r", task=task(**fields), number=2, directory=Path("/w/a/2"), base=Path("/b")
    )
    environment = {"PATH": "/bin", "HOME": "/h", "X": "1"}
    return wrap(attempt, environment, settings, "10:20")


def test_without_containers_an_image_is_left_aside() -> None:
    assert wrapped("none", image="i:1").argv == ("prog", "x")


@pytest.mark.parametrize("containers", ["docker", "apptainer"])
def test_a_task_without_an_image_runs_on_the_node(containers: str) -> None:
    assert wrapped(containers).argv == ("prog", "x")


def test_a_file_of_the_image_is_replaced_by_one_of_the_nodes() -> None:
    settings = SlurmSettings(image_paths={"x": "here/x"})
    attempt = Attempt(run_id="r", task=task(), number=1, directory=Path("/w"), base=Path("/b"))
    assert wrap(attempt, {}, settings, "").argv == ("prog", "/b/here/x")


def test_docker_gets_the_tasks_directory_at_the_same_path_and_its_limits() -> None:
    found = wrapped("docker", image="i:1", requirements=Requirements(cpus=2, memory="1MiB"))
    assert found.argv == (
        *("docker", "run", "--rm", "--init", "--name=bc-r-a-2", "--user=10:20"),
        *("--cap-drop=ALL", "--security-opt=no-new-privileges"),
        '--mount=type=bind,"source=/w/a/2/task","target=/w/a/2/task"',
        *("--workdir=/w/a/2/task/wd", "--cpus=2", "--memory=1048576", "--memory-swap=1048576"),
        *("--env=HOME=/h", "--env=X=1", "i:1", "prog", "x"),
    )
    assert found.exports == {"PATH": "/bin"}
    assert found.kill == "docker rm --force bc-r-a-2"


def test_apptainer_sees_the_tasks_directory_and_no_other() -> None:
    found = wrapped("apptainer", image="i:1", requirements=Requirements(gpus=1))
    assert found.argv == (
        *("apptainer", "run", "--containall", "--cleanenv", "--home=/w/a/2/task/wd"),
        *("--bind=/w/a/2/task", "--pwd=/w/a/2/task/wd", "--nv", "docker://i:1", "prog", "x"),
    )
    assert found.exports == {"PATH": "/bin", "APPTAINERENV_X": "1"}


@pytest.mark.parametrize("image", ["/images/i.sif", "oras://host/i:1"])
def test_apptainer_takes_other_images_as_they_are_named(image: str) -> None:
    assert image in wrapped("apptainer", image=image).argv
