"""Files into a container and out of it, without a directory that both sides see."""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any

import docker
import docker.errors
import pytest

from batchcore.errors import BackendError, TransferError
from batchcore.plan import PlannedOutput
from batchcore.states import FailureReason, TaskState
from batchcore.transfer import collect
from batchcore_localdocker.connection import CALL_SECONDS
from batchcore_localdocker.copying import place, read_file, receive, send
from batchcore_localdocker.errors import docker_errors

from .proxy import FaultProxy, fault_proxy

pytestmark = pytest.mark.docker

SOCKET = "/var/run/docker.sock"
TASK = PurePosixPath("/mnt/batch/tasks/workitems/run/job-1/one")
WORKER = 12345
CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETUID", "SETGID", "MKNOD"]

# What a worker that is root leaves, and what the collector says of it.
HOSTILE = """
import os, socket
def write(name, text="x"):
    with open(name, "w") as file:
        file.write(text)
write("good")
os.symlink("/etc/passwd", "out")
os.symlink("../../../../../../../etc/passwd", "up")
os.symlink("/", "root")
os.symlink("loop", "loop")
os.symlink("no such", "dangling")
os.symlink("good", "inside")
os.mkfifo("fifo")
os.mknod("device", 0o20666, os.makedev(1, 3))
socket.socket(socket.AF_UNIX).bind("socket")
write("setuid"); os.chmod("setuid", 0o6777)
os.link("/etc/passwd", "passwd"); os.link("good", "linked")
write("closed"); os.chmod("closed", 0)
os.mkdir("locked"); write("locked/in"); os.chmod("locked", 0)
for name in NAMES:
    write(name)
os.makedirs("/".join(["deep"] * 100)); write("/".join(["deep"] * 100) + "/end")
"""
NAMES = ["new\nline", "a \"b' c", "a#?%25", "-rf", "grün 日本", "n" * 255, "\udcff\udcfe"]

Run = Callable[..., str]


@pytest.fixture
def client(docker_client: docker.DockerClient) -> docker.APIClient:
    return docker_client.api


@pytest.fixture
def create(client: docker.APIClient, worker_base_image: str) -> Iterator[Run]:
    """Create a container for Python code; it is gone after the test."""
    made = []

    def make(code: str = "", user: int = 0, image: str = worker_base_image) -> str:
        host = {"NetworkMode": "none", "CapDrop": ["ALL"], "CapAdd": CAPABILITIES}
        config = {
            "Image": image,
            "Cmd": ["python3", "-c", code],
            "User": f"{user}:{user}",
            "HostConfig": host,
        }
        made.append(client.create_container_from_config(config)["Id"])
        return str(made[-1])

    yield make
    for container in made:
        client.remove_container(container, v=True, force=True)


@pytest.fixture
def run(client: docker.APIClient, create: Run, tmp_path: Path) -> Run:
    """Run code in a task directory that was sent; returns the ended container."""
    (tmp_path / "empty" / "wd").mkdir(parents=True)

    def go(code: str, **fields: Any) -> str:
        container = create(f"import os; os.chdir({str(TASK / 'wd')!r})\n{code}", **fields)
        send(client, container, tmp_path / "empty", TASK, uid=0, gid=0)
        return finish(client, container)

    return go


def finish(client: docker.APIClient, container: str) -> str:
    client.start(container)
    assert client.wait(container)["StatusCode"] == 0, client.logs(container)
    return container


@pytest.fixture
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    with fault_proxy(Path(f"/tmp/bc-{uuid.uuid4().hex[:8]}.sock"), SOCKET) as made:
        yield made
    Path(made.host.removeprefix("unix://")).unlink()


def test_what_is_sent_is_there_with_its_permissions_and_its_owner(
    client: docker.APIClient, create: Run, tmp_path: Path
) -> None:
    source = tmp_path / "task"
    (source / "wd" / "empty").mkdir(parents=True)
    (source / "wd" / "tool").write_text("#!")
    (source / "wd" / "tool").chmod(0o750)
    (source / "wd" / "link").symlink_to("tool")
    for name in NAMES:
        (source / "wd" / name).write_text("content")
    code = f"""
import os
os.chdir({str(TASK / "wd")!r})
assert sorted(os.listdir()) == sorted(["empty", "tool", "link", *{NAMES!r}])
assert all(os.stat(n).st_uid == os.stat(n).st_gid == {WORKER} for n in [".", "..", "empty", "tool"])
assert os.stat("tool").st_mode == 0o100750 and os.readlink("link") == "tool"
assert os.stat("tool").st_mtime == {int((source / "wd" / "tool").stat().st_mtime)}
assert all(open(name).read() == "content" for name in {NAMES!r})
parent = os.stat("/mnt/batch/tasks/workitems/run/job-1")
assert (parent.st_uid, parent.st_mode) == (0, 0o40755)
open("new", "w")
"""
    container = create(code, user=WORKER)
    send(client, container, source, TASK, uid=WORKER, gid=WORKER)
    finish(client, container)


def test_directories_of_the_image_stay_as_they_are(
    client: docker.APIClient, create: Run, build: Callable[..., str], tmp_path: Path
) -> None:
    image = build("RUN mkdir -p /real/batch && rm -rf /mnt && ln -s real /mnt && chmod 1777 /real")
    code = f"""
import os
assert os.readlink("/mnt") == "real" and os.stat("/real").st_mode == 0o41777
assert os.path.isdir("/real/{TASK.relative_to("/mnt")}")
"""
    container = create(code, image=image)
    send(client, container, tmp_path, TASK, uid=WORKER, gid=WORKER)
    finish(client, container)


def test_sending_may_be_repeated(client: docker.APIClient, create: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("first")
    container = create()
    send(client, container, tmp_path, TASK, uid=0, gid=0)
    (tmp_path / "file").write_text("second, longer")
    send(client, container, tmp_path, TASK, uid=0, gid=0)
    assert read_file(client, container, TASK / "file") == b"second, longer"


def test_what_cannot_be_sent_is_named(
    client: docker.APIClient, create: Run, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TransferError, match="pipe cannot be copied into the container"):
        send(client, create(), tmp_path, TASK, uid=0, gid=0)
    with pytest.raises(TransferError, match="gone cannot be copied into the container"):
        send(client, create(), tmp_path / "gone", TASK, uid=0, gid=0)


def test_placed_files_are_for_their_owner_alone(client: docker.APIClient, create: Run) -> None:
    code = f"""
import os
assert sorted(os.listdir("/run/secrets")) == ["A", "EMPTY"]
found = os.stat("/run/secrets/A")
assert (found.st_mode, found.st_uid, found.st_gid) == (0o100400, {WORKER}, {WORKER})
assert open("/run/secrets/A", "rb").read() == bytes(range(256))
assert os.stat("/run/secrets").st_mode == 0o40755 and os.stat("/run/secrets").st_uid == 0
"""
    container = create(code, user=WORKER)
    secrets = {"A": bytes(range(256)), "EMPTY": b""}
    place(client, container, PurePosixPath("/run/secrets"), secrets, uid=WORKER, gid=WORKER)
    finish(client, container)


def test_what_a_hostile_root_left_is_refused_by_name(
    client: docker.APIClient, run: Run, tmp_path: Path
) -> None:
    container = run(HOSTILE.replace("NAMES", repr(NAMES)))
    target = tmp_path / "target"
    receive(client, container, TASK, target)
    tree = collect.LocalTree(target / "wd")
    content, refusals = {}, {}
    for name in tree.names():
        try:
            with tree.open(name) as stream:
                content[name] = stream.read()
        except collect.UnsafeFile as exc:
            refusals[name] = str(exc)
    deep = "/".join(["deep"] * 100) + "/end"
    expected = ["good", "inside", "linked", "setuid", "closed", "locked/in", deep, *NAMES]
    container_passwd = content.pop("passwd")
    assert content == dict.fromkeys(expected, b"x")
    assert container_passwd != Path("/etc/passwd").read_bytes()
    assert refusals == {
        "out": "'out' is a link that leaves the working directory",
        "up": "'up' is a link that leaves the working directory",
        "root": "'root' is a link that leaves the working directory",
        "loop": "'loop' is a link that never ends",
        "dangling": "'dangling' is a link to nothing",
        "fifo": "'fifo' is a named pipe",
        "device": "'device' is a named pipe",
    }
    for path in target.rglob("*"):
        found = path.lstat()
        assert found.st_uid == os.getuid()
        assert not found.st_mode & (stat.S_ISUID | stat.S_ISGID)


def test_the_collector_refuses_an_output_that_is_no_file(
    client: docker.APIClient, run: Run, tmp_path: Path
) -> None:
    receive(client, run(HOSTILE.replace("NAMES", "[]")), TASK, tmp_path / "target")
    for name in ("out", "up", "loop", "dangling", "fifo", "device"):
        tree = collect.LocalTree(tmp_path / "target" / "wd")
        outputs = [PlannedOutput(path=name, to=name), PlannedOutput(path="good", to="good")]
        fetched = collect.fetch(outputs, TaskState.SUCCEEDED, tree, tmp_path / "incoming")
        assert fetched.refused is not None
        assert fetched.refused.reason is FailureReason.OUTPUT_UNSAFE
        assert [file.to for file in fetched.files] == ["good"]


@pytest.mark.parametrize(
    "code",
    [
        "os.chdir('/'); import shutil; shutil.rmtree('/mnt/batch')",
        "os.rename('/mnt/batch', '/old'); open('/mnt/batch', 'w')",
        "os.rename('/mnt/batch', '/old'); os.symlink('batch', '/mnt/batch')",
        f"os.rename('{TASK}', '/old'); os.symlink('/etc', '{TASK}')",
    ],
    ids=["removed", "a file above it", "a loop above it", "a link in its place"],
)
def test_a_task_directory_that_is_gone_leaves_nothing(
    client: docker.APIClient, run: Run, tmp_path: Path, code: str
) -> None:
    (tmp_path / "target" / "wd").mkdir(parents=True)
    receive(client, run(code), TASK, tmp_path / "target")
    assert list((tmp_path / "target").iterdir()) == []


def test_receiving_may_be_repeated(client: docker.APIClient, run: Run, tmp_path: Path) -> None:
    container, target = run("open('f', 'w').write('x')"), tmp_path / "target"
    (target / "wd" / "stale").mkdir(parents=True)
    for _time in range(2):
        receive(client, container, TASK, target)
        assert [path.name for path in (target / "wd").iterdir()] == ["f"]


def test_a_container_that_is_gone_leaves_the_directory_as_it_was(
    client: docker.APIClient, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(docker.errors.NotFound):
        receive(client, f"bc-test-{uuid.uuid4().hex}", TASK, tmp_path)
    assert (tmp_path / "file").read_text() == "kept"


def test_a_file_larger_than_the_disk_is_a_full_disk(
    client: docker.APIClient, run: Run, tmp_path: Path
) -> None:
    free = os.statvfs(tmp_path)
    size = free.f_bavail * free.f_frsize + (1 << 34)
    container = run(f"open('huge', 'w').truncate({size})")
    with pytest.raises(TransferError, match="the disk is full"):
        receive(client, container, TASK, tmp_path / "target")


def test_a_line_without_end_and_a_sparse_file_arrive_whole(
    client: docker.APIClient, run: Run, tmp_path: Path
) -> None:
    code = "open('line', 'wb').write(b'x' * (50 << 20)); open('sparse', 'w').truncate(200 << 20)"
    receive(client, run(code), TASK, tmp_path / "target")
    work = tmp_path / "target" / "wd"
    assert (work / "line").read_bytes() == b"x" * (50 << 20)
    assert (work / "sparse").stat().st_size == 200 << 20
    assert (work / "sparse").stat().st_blocks == 0


def test_a_connection_that_breaks_while_receiving_is_transient(
    client: docker.APIClient, run: Run, proxy: FaultProxy, tmp_path: Path
) -> None:
    container = run("open('big', 'wb').write(os.urandom(30 << 20))")
    target = tmp_path / "target"
    with closing(docker.APIClient(proxy.host, version="auto", timeout=CALL_SECONDS)) as remote:
        remote.hooks["response"].append(lambda *_, **__: proxy.fail())  # once the answer begins
        with pytest.raises(BackendError) as caught, docker_errors("receiving"):
            receive(remote, container, TASK, target)
        assert caught.value.transient
        remote.hooks["response"].clear()
        proxy.mend()
        receive(remote, container, TASK, target)
    assert (target / "wd" / "big").stat().st_size == 30 << 20
