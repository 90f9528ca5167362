"""The networks that tasks use one after another, in real containers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from batchcore.local.runner import Attempt
from batchcore.plan import PlannedTask
from batchcore_localdocker.networks import OWNER, ROLE_LABEL
from batchcore_localdocker.runner import DockerRunner
from batchcore_localdocker.translate import ImageFacts, container_name

if TYPE_CHECKING:
    import docker

pytestmark = pytest.mark.docker

Read = Callable[[Attempt], str]

# Leaves connections that have ended, on both sides, and what lives as long as its process.
BUSY = """
import os, socket
abstract = socket.socket(socket.AF_UNIX)
abstract.bind("\\0former")
server = socket.create_server(("127.0.0.1", 8000))
for first in (0, 1):
    ends = [socket.create_connection(("127.0.0.1", 8000)), server.accept()[0]]
    ends[first].close()
    ends[not first].close()
datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagram.bind(("0.0.0.0", 5353))
if os.fork() == 0:
    os.setsid()
    server.accept()
"""
LOOK = """
import socket
for table in ("tcp", "tcp6", "udp", "unix"):
    lines = open(f"/proc/net/{table}").read().splitlines()[1:]
    assert not any(line.strip() for line in lines), (table, lines)
bound = socket.socket()
bound.bind(("127.0.0.1", 8000))  # without SO_REUSEADDR
"""
LISTEN = """
import pathlib, socket
server = socket.create_server(("127.0.0.1", 9000))
pathlib.Path("ready").touch()
server.accept()
"""
CONNECT = """
import socket
try:
    socket.create_connection(("127.0.0.1", 9000), timeout=5)
except ConnectionRefusedError:
    raise SystemExit(0)
raise SystemExit("it answered")
"""


def many(lab: Any, slots: int = 2, **settings: Any) -> DockerRunner:
    """A runner that expects more tasks than it has slots, so that networks are kept."""
    runner: DockerRunner = lab.runner(slots=slots, **settings)
    tasks = [PlannedTask(id=f"more{n}", command=("true",), image=lab.image) for n in range(5)]
    runner.prepare(tasks, print)
    return runner


def owners(lab: Any, docker_client: docker.DockerClient) -> list[str]:
    found = docker_client.containers.list(
        filters={"label": [f"batchcore.run={lab.run_id}", f"{ROLE_LABEL}={OWNER}"]}
    )
    return [str(container.id) for container in found]


def network(attempt: Attempt, docker_client: docker.DockerClient) -> str:
    container = docker_client.api.inspect_container(container_name(attempt))
    return str(container["HostConfig"]["NetworkMode"])


def until_ready(attempt: Attempt) -> None:
    deadline = time.monotonic() + 60
    while not (attempt.working_directory / "ready").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_nothing_of_a_former_task_is_left_in_a_network(
    lab: Any, docker_client: docker.DockerClient
) -> None:
    runner = many(lab, slots=1)
    first, second = lab.python(BUSY), lab.python(LOOK, task="two")
    for attempt in (first, second):
        assert lab.end(attempt, runner).code == 0, attempt.task.id
        assert network(attempt, docker_client) == f"container:{owners(lab, docker_client)[0]}"
        runner.remove(attempt)
    assert len(owners(lab, docker_client)) == 1


def test_tasks_at_once_do_not_reach_each_others_loopback(
    lab: Any, docker_client: docker.DockerClient
) -> None:
    runner = many(lab)
    server, client = lab.python(LISTEN), lab.python(CONNECT, task="two")
    assert runner.start(server) is None
    until_ready(server)
    assert lab.end(client, runner).code == 0
    assert network(server, docker_client) != network(client, docker_client)
    assert len(owners(lab, docker_client)) == 2


def test_a_kept_network_reaches_other_machines(lab: Any, read_stdout: Read) -> None:
    show = "import os; print(sorted(os.listdir('/sys/class/net')))"
    attempt = lab.python(show)
    lab.end(attempt, many(lab))
    assert read_stdout(attempt) == "['eth0', 'lo']\n"


def test_a_kept_network_without_a_network_has_loopback_alone(lab: Any, read_stdout: Read) -> None:
    show = (
        "import os, socket; print(os.listdir('/sys/class/net'));"
        "server = socket.create_server(('127.0.0.1', 0));"
        "socket.create_connection(server.getsockname())"
    )
    attempt = lab.python(show)
    assert lab.end(attempt, many(lab, network="none")).code == 0
    assert read_stdout(attempt) == "['lo']\n"


def test_a_few_tasks_have_networks_made_for_them(
    lab: Any, docker_client: docker.DockerClient
) -> None:
    attempt = lab.attempt("true")
    lab.end(attempt, lab.runner(slots=2))
    assert network(attempt, docker_client) == "bridge"


@pytest.mark.parametrize("kind", ["root", "no shell"])
def test_who_could_harm_a_network_or_cannot_keep_one_gets_its_own(
    lab: Any, docker_client: docker.DockerClient, image_without_shell: str, kind: str
) -> None:
    fields = {"user": "root"} if kind == "root" else {"image": image_without_shell}
    attempt = lab.python("pass", **fields)
    assert lab.end(attempt, many(lab)).code == 0
    assert network(attempt, docker_client) == "bridge"


def test_the_network_of_a_task_that_runs_on_is_not_given_to_another(
    lab: Any, docker_client: docker.DockerClient
) -> None:
    first = many(lab)
    running = lab.python(LISTEN)
    first.start(running)
    until_ready(running)
    other = lab.attempt("true", task="two")
    assert lab.end(other, many(lab)).code == 0
    assert network(other, docker_client) != network(running, docker_client)


def test_the_next_process_uses_the_network_of_a_killed_one(
    lab: Any, docker_client: docker.DockerClient
) -> None:
    first = many(lab)
    attempt = lab.attempt("true")
    lab.end(attempt, first)
    first.remove(attempt)
    other = lab.attempt("true", task="two")
    lab.end(other, many(lab))
    assert [network(other, docker_client)] == [f"container:{o}" for o in owners(lab, docker_client)]


def test_an_adopted_task_gives_its_network_back(
    lab: Any, docker_client: docker.DockerClient
) -> None:
    attempt = lab.attempt("true")
    lab.end(attempt, many(lab))
    second = many(lab)
    assert lab.end(attempt, second).code == 0
    second.remove(attempt)
    other = lab.attempt("true", task="two")
    lab.end(other, second)
    assert len(owners(lab, docker_client)) == 1


def test_closing_deletes_what_an_earlier_process_kept_free(
    lab: Any, docker_client: docker.DockerClient
) -> None:
    first, second = many(lab), many(lab)
    kept, gone = lab.attempt("true"), lab.attempt("true", task="two")
    for attempt in (kept, gone):
        lab.end(attempt, first)
    first.remove(gone)
    assert len(owners(lab, docker_client)) == 2
    lab.end(kept, second)
    second.remove(kept)
    second.wake()
    second.close()
    assert owners(lab, docker_client) == []


def test_a_task_that_was_never_started_keeps_its_network(
    lab: Any, docker_client: docker.DockerClient
) -> None:
    attempt, second = lab.attempt("true"), many(lab)
    lab.end(attempt, many(lab))
    joined = network(attempt, docker_client)
    config = docker_client.api.inspect_container(container_name(attempt))
    docker_client.api.remove_container(config["Id"])
    docker_client.api.create_container_from_config(
        {**config["Config"], "Hostname": "", "HostConfig": config["HostConfig"]},
        container_name(attempt),
    )
    lab.end(lab.attempt("true", task="two"), second)
    lab.end(attempt, second)
    assert network(attempt, docker_client) == joined


def test_a_task_that_is_adopted_again_never_lets_go_of_its_network(
    lab: Any, docker_client: docker.DockerClient
) -> None:
    runner = many(lab)
    running, other = lab.python(LISTEN), lab.attempt("true", task="two")
    runner.start(running)
    image = ImageFacts(id=docker_client.images.get(lab.image).id, has_shell=True)
    joined: list[str] = []

    class Greedy:
        """A lock that another task waits for."""

        lock = threading.Lock()

        def __enter__(self) -> None:
            self.lock.acquire()

        def __exit__(self, *_: object) -> None:
            self.lock.release()
            if not joined:
                joined.append("")
                joined.append(runner._networks.join(other, image))

    runner._networks._lock = Greedy()
    assert runner.start(running) is None
    assert joined[1] != network(running, docker_client)


def test_a_network_that_was_removed_is_made_again(
    lab: Any, docker_client: docker.DockerClient
) -> None:
    runner = many(lab)
    attempt = lab.attempt("true")
    lab.end(attempt, runner)
    runner.remove(attempt)
    docker_client.api.remove_container(owners(lab, docker_client)[0], force=True)
    other = lab.attempt("true", task="two")
    assert lab.end(other, runner).code == 0
    assert len(owners(lab, docker_client)) == 1


def test_a_network_that_was_stopped_is_replaced(
    lab: Any, docker_client: docker.DockerClient
) -> None:
    runner = many(lab)
    attempt = lab.attempt("true")
    lab.end(attempt, runner)
    runner.remove(attempt)
    docker_client.api.stop(owners(lab, docker_client)[0])
    other = lab.attempt("true", task="two")
    assert lab.end(other, runner).code == 0
    assert len(runner.leftovers(lab.run_id, lab.folder)) == 2


def test_closing_leaves_the_network_of_what_runs_alone(
    lab: Any, docker_client: docker.DockerClient
) -> None:
    runner = many(lab)
    running, ended = lab.python(LISTEN), lab.attempt("true", task="two")
    runner.start(running)
    until_ready(running)
    lab.end(ended, runner)
    runner.remove(ended)
    runner.wake()
    runner.close()
    assert [network(running, docker_client)] == [
        f"container:{o}" for o in owners(lab, docker_client)
    ]


def test_an_owner_can_do_nothing(lab: Any, docker_client: docker.DockerClient) -> None:
    lab.end(lab.attempt("true"), many(lab))
    owner = docker_client.api.inspect_container(owners(lab, docker_client)[0])
    host = owner["HostConfig"]
    assert owner["Config"]["User"] == "65534:65534"
    assert (host["CapDrop"], host["ReadonlyRootfs"], owner["Mounts"]) == (["ALL"], True, [])
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
