"""Tasks in real containers, as they see themselves and as the service tells of them."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import docker

pytestmark = pytest.mark.docker

TASK = "/mnt/batch/tasks/workitems/job/job-1/task-1"
OWN_USER = {"autoUser": {"scope": "task", "elevationLevel": "nonadmin"}}
ADMIN = {"autoUser": {"scope": "task", "elevationLevel": "admin"}}
HOSTILE = ["two words", "'single' \"double\"", "$HOME `id` ;&|", "new\nline", "grün", "", "\\", "*"]


def python(code: str, *arguments: str) -> str:
    return shlex.join(["python3", "-c", code, *arguments])


def test_a_task_gets_its_files_runs_and_leaves_its_outputs(
    docker_lab: Any, bucket: Any, other_bucket: Any
) -> None:
    bucket.client.upload_blob("in/number", b"20")
    code = "open('out/result', 'w').write(str(int(open('number').read()) + 1)); print('done')"
    task = docker_lab.contain(
        python(f"import os; os.mkdir('out'); {code}"),
        options="--cap-drop=ALL --security-opt no-new-privileges --init --pids-limit 100",
        userIdentity=OWN_USER,
        resourceFiles=[
            {"httpUrl": bucket.url(read=True).replace("?", "/in/number?"), "filePath": "number"}
        ],
        outputFiles=[
            other_bucket.output("out/*", "run/task/wd/out", "tasksuccess"),
            other_bucket.output("../std*.txt", "run/task"),
        ],
    )
    end = docker_lab.end(task)
    assert (end["result"], end["exitCode"], end["retryCount"]) == ("success", 0, 0)
    assert "failureInfo" not in end
    assert other_bucket.names() == [
        "run/task/stderr.txt",
        "run/task/stdout.txt",
        "run/task/wd/out/result",
    ]
    assert other_bucket.read("run/task/wd/out/result") == b"21"
    assert other_bucket.read("run/task/stdout.txt") == b"done\n"


def test_a_task_sees_the_paths_and_names_of_a_node(docker_lab: Any) -> None:
    code = "import json, os; print(json.dumps([os.getcwd(), dict(os.environ)]))"
    task = docker_lab.contain(
        python(code), environmentSettings=[{"name": "MINE", "value": "a\nb $x"}]
    )
    docker_lab.end(task)
    directory, environment = json.loads(docker_lab.text(task))
    assert directory == environment["AZ_BATCH_TASK_WORKING_DIR"] == f"{TASK}/wd"
    assert environment["AZ_BATCH_TASK_DIR"] == TASK
    assert environment["AZ_BATCH_NODE_ROOT_DIR"] == "/mnt/batch/tasks"
    assert environment["AZ_BATCH_JOB_ID"] == "job"
    assert environment["AZ_BATCH_TASK_ID"] == task
    assert environment["AZ_BATCH_POOL_ID"] == "pool"
    assert environment["AZ_BATCH_NODE_ID"] == docker_lab.state.nodes_of("pool")[0].id
    assert environment["AZ_BATCH_NODE_IS_DEDICATED"] == "true"
    assert environment["AZ_BATCH_ACCOUNT_NAME"] == "batchemulator"
    assert environment["MINE"] == "a\nb $x"


def test_words_of_the_command_line_arrive_as_they_were_quoted(docker_lab: Any) -> None:
    task = docker_lab.contain(python("import json, sys; print(json.dumps(sys.argv[1:]))", *HOSTILE))
    docker_lab.end(task)
    assert json.loads(docker_lab.text(task)) == HOSTILE


def test_a_task_is_not_root_and_its_neighbour_is_somebody_else(docker_lab: Any) -> None:
    tasks = [docker_lab.contain("id -u", userIdentity=OWN_USER) for _ in range(2)]
    for task in tasks:
        docker_lab.end(task)
    users = {docker_lab.text(task) for task in tasks}
    assert len(users) == 2
    assert "0\n" not in users


@pytest.mark.parametrize("how", [{"options": "--user 0:0"}, {"userIdentity": ADMIN}])
def test_a_task_is_root_where_it_asks_to_be(docker_lab: Any, how: Any) -> None:
    task = docker_lab.contain("id -u", **how)
    docker_lab.end(task)
    assert docker_lab.text(task) == "0\n"


def test_a_task_sees_the_files_of_others_unless_its_mounts_are_named(docker_lab: Any) -> None:
    listing = "ls /mnt/batch/tasks"
    open_task = docker_lab.contain(listing, container={"containerHostBatchBindMounts": None})
    closed_task = docker_lab.contain(listing)
    docker_lab.end(open_task)
    docker_lab.end(closed_task)
    assert "shared" in docker_lab.text(open_task).split()
    assert docker_lab.text(closed_task) == "workitems\n"


def test_the_options_limit_the_container(docker_lab: Any, docker_client: Any) -> None:
    options = (
        "--cap-drop=ALL --security-opt no-new-privileges --init --pids-limit 77 "
        "--memory 256m --memory-swap 256m --cpus 0.5 --network none --read-only --rm"
    )
    task = docker_lab.contain("sh -c 'echo up; sleep 600'", options=options)
    docker_lab.says(task, "up")
    host = container_of(docker_lab, docker_client).attrs["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert (host["Init"], host["PidsLimit"], host["NetworkMode"]) == (True, 77, "none")
    assert host["Memory"] == host["MemorySwap"] == 256 << 20
    assert (host["NanoCpus"], host["ReadonlyRootfs"]) == (500_000_000, True)
    assert host["Privileged"] is False


def container_of(lab: Any, client: docker.DockerClient) -> Any:
    name = lab.emulator.containers_label
    (found,) = client.containers.list(filters={"label": name})
    return found


@pytest.mark.parametrize(
    "option", ["--privileged", "-v /:/host", "--device /dev/kvm", "--net host"]
)
def test_an_option_that_is_not_known_fails_the_task(docker_lab: Any, option: str) -> None:
    assert docker_lab.failure(docker_lab.contain("true", options=option)) == (
        "ContainerInvalidSettings"
    )


def test_an_entrypoint_applies_unless_it_is_taken_off(docker_lab: Any, docker_client: Any) -> None:
    with image(docker_client, 'ENTRYPOINT ["echo", "entry"]') as name:
        kept = docker_lab.contain("echo mine", image=name)
        off = docker_lab.contain("echo mine", image=name, options='--entrypoint ""')
        docker_lab.end(kept)
        docker_lab.end(off)
        assert docker_lab.text(kept) == "entry echo mine\n"
        assert docker_lab.text(off) == "mine\n"


def image(client: docker.DockerClient, *lines: str) -> Any:
    import contextlib
    import io
    import uuid

    @contextlib.contextmanager
    def built() -> Any:
        name = f"bc-emulator-{uuid.uuid4().hex[:12]}:v1"
        text = "\n".join(["FROM batchcore-test-base:latest", *lines])
        client.images.build(fileobj=io.BytesIO(text.encode()), tag=name, rm=True)
        yield name
        client.images.remove(name, force=True)

    return built()


def test_an_empty_command_line_runs_the_images_own(docker_lab: Any, docker_client: Any) -> None:
    with image(docker_client, 'CMD ["echo", "own"]') as name:
        task = docker_lab.contain("", image=name)
        docker_lab.end(task)
        assert docker_lab.text(task) == "own\n"


def test_the_images_own_directory_can_be_asked_for(docker_lab: Any, docker_client: Any) -> None:
    with image(docker_client, "WORKDIR /opt") as name:
        task = docker_lab.contain(
            "pwd", image=name, container={"workingDirectory": "containerImageDefault"}
        )
        docker_lab.end(task)
        assert docker_lab.text(task) == "/opt\n"


@pytest.mark.parametrize(
    ("command", "image", "code"),
    [
        ("true", "no-such-image:v1", "ContainerInvalidImage"),
        ("no-such-program", "batchcore-test-base:latest", "CommandProgramNotFound"),
        ("sh -c 'unclosed", "batchcore-test-base:latest", "CommandLaunchFailed"),
    ],
)
def test_what_never_ran_has_no_exit_code(
    docker_lab: Any, command: str, image: str, code: str
) -> None:
    end = docker_lab.end(docker_lab.contain(command, image=image))
    assert (end["result"], end["failureInfo"]["code"]) == ("failure", code)
    assert "exitCode" not in end


def test_an_exit_code_is_told_with_the_container(docker_lab: Any) -> None:
    end = docker_lab.end(docker_lab.contain("sh -c 'exit 7'"))
    assert (end["exitCode"], end["result"]) == (7, "failure")
    assert end["failureInfo"]["code"] == "FailureExitCode"
    assert end["failureInfo"]["category"] == "UserError"
    assert end["containerInfo"]["state"] == "exited"
    assert len(end["containerInfo"]["containerId"]) == 64


def test_no_container_is_left_after_a_task(docker_lab: Any, docker_client: Any) -> None:
    docker_lab.end(docker_lab.contain("true"))
    label = docker_lab.emulator.containers_label
    assert docker_client.containers.list(all=True, filters={"label": label}) == []


def test_no_container_is_left_after_the_emulator(docker_lab: Any, docker_client: Any) -> None:
    docker_lab.says(docker_lab.contain("sh -c 'echo up; sleep 600'"), "up")
    label = docker_lab.emulator.containers_label
    docker_lab.emulator.stop()
    assert docker_client.containers.list(all=True, filters={"label": label}) == []


def test_a_log_is_read_while_the_task_writes_it(docker_lab: Any) -> None:
    task = docker_lab.contain("sh -c 'echo first; echo bad >&2; sleep 600'")
    docker_lab.says(task, "first")
    client = docker_lab.client
    assert b"".join(client.download_task_file("job", task, "stdout.txt")) == b"first\n"
    part = client.download_task_file("job", task, "stdout.txt", ocp_range="bytes=2-3")
    assert b"".join(part) == b"rs"
    names = [file.name for file in client.list_task_files("job", task, recursive=True)]
    assert names == ["stderr.txt", "stdout.txt", "wd"]


def test_a_terminated_task_gets_time_to_end(docker_lab: Any, bucket: Any) -> None:
    code = (
        "import signal, sys\n"
        "def over(*_): open('last', 'w').write('words'); sys.exit(3)\n"
        "signal.signal(signal.SIGTERM, over); print('up', flush=True); signal.pause()"
    )
    task = docker_lab.contain(python(code), outputFiles=[bucket.output("last", "last")])
    docker_lab.says(task, "up")
    docker_lab.client.terminate_task("job", task)
    end = docker_lab.end(task)
    assert (end["failureInfo"]["code"], end["exitCode"]) == ("TaskEnded", 3)
    assert bucket.read("last") == b"words"


def test_a_task_that_ignores_term_is_killed_at_its_limit(docker_lab: Any) -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
    task = docker_lab.contain(python(code), constraints={"maxWallClockTime": "PT1S"})
    end = docker_lab.end(task)
    assert (end["failureInfo"]["code"], end["exitCode"]) == ("TaskEnded", 137)
    assert "wall clock" in end["failureInfo"]["message"]
