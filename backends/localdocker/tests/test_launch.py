"""Containers that cannot share a directory with this machine, as root or from elsewhere."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pexpect
import pytest

from batchcore.errors import EnvironmentNotReady
from batchcore.local import secretfiles
from batchcore.local.runner import Attempt
from batchcore.model import Mount, Requirements
from batchcore.plan import PlannedTask
from batchcore.states import FailureReason
from batchcore_localdocker import launch
from batchcore_localdocker.translate import container_name
from conftest import lacking

if TYPE_CHECKING:
    import docker

pytestmark = pytest.mark.docker

Read = Callable[[Attempt], str]

AS_ROOT = """
import os, sys
assert (os.getuid(), os.getgid()) == (0, 0)
open("/etc/made-by-root", "w")
assert open("in.txt").read() == "given"
open("out.txt", "w").write("made")
os.chown("out.txt", 4321, 4321)
os.chmod("out.txt", 0o4777)
os.setuid(4321)
print("out"), print("err", file=sys.stderr)
raise SystemExit(5)
"""


def given(attempt: Attempt) -> Attempt:
    (attempt.working_directory / "in.txt").write_text("given")
    return attempt


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine's daemon be taken for one that does not see its directories."""
    monkeypatch.setattr(launch, "daemon_sees", lambda *_: False)


def test_what_root_leaves_is_the_callers(lab: Any, read_stdout: Read) -> None:
    attempt = given(lab.python(AS_ROOT, user="root"))
    assert lab.end(attempt).code == 5
    out = attempt.working_directory / "out.txt"
    assert out.read_text() == "made"
    assert (out.stat().st_uid, out.stat().st_gid) == (os.getuid(), os.getgid())
    assert out.stat().st_mode & 0o7777 == 0o755
    assert read_stdout(attempt) == "out\n"
    assert (attempt.task_directory / "stderr.txt").read_text() == "err\n"


def test_root_shares_no_directory_with_this_machine(
    lab: Any, docker_client: docker.DockerClient
) -> None:
    attempt = lab.attempt("true", user="root")
    lab.end(attempt)
    container = docker_client.api.inspect_container(container_name(attempt))
    assert container["Mounts"] == []
    assert container["HostConfig"]["Privileged"] is False


def test_a_mount_of_root_is_made_read_only_all_the_same(lab: Any) -> None:
    (lab.folder / "data").mkdir()
    attempt = lab.python(
        "open('/data/x', 'w')", user="root", mounts=(Mount("/data", source="data"),)
    )
    assert lab.end(attempt).code == 1
    assert "Read-only file system" in (attempt.task_directory / "stderr.txt").read_text()


@pytest.mark.usefixtures("elsewhere")
def test_a_daemon_elsewhere_gets_copies_and_gives_back_what_was_made(
    lab: Any, read_stdout: Read
) -> None:
    attempt = given(
        lab.python("import os; os.rename('in.txt', 'out.txt'); print(os.getuid(), os.getcwd())")
    )
    assert lab.end(attempt).code == 0
    assert [path.name for path in attempt.working_directory.iterdir()] == ["out.txt"]
    inside = f"/mnt/batch/tasks/workitems/{lab.run_id}/job-1/one/wd"
    assert read_stdout(attempt) == f"{os.getuid()} {inside}\n"


@pytest.mark.usefixtures("elsewhere")
def test_a_daemon_elsewhere_runs_an_image_without_a_shell(
    lab: Any, image_without_shell: str, read_stdout: Read
) -> None:
    attempt = lab.python("print('made'); open('out', 'w')", image=image_without_shell)
    assert lab.end(attempt).code == 0
    assert read_stdout(attempt) == "made\n"
    assert (attempt.working_directory / "out").exists()


@pytest.mark.usefixtures("elsewhere")
def test_a_daemon_elsewhere_cannot_mount_a_directory_of_this_machine(lab: Any) -> None:
    end = lab.end(lab.attempt("true", mounts=(Mount("/data", source="."),)))
    assert end.reason is FailureReason.START_FAILED
    assert "does not see this machine's directories" in end.detail


@pytest.mark.usefixtures("elsewhere")
def test_another_process_takes_the_files_of_an_ended_container_out(lab: Any) -> None:
    attempt = lab.python("open('out', 'w').write('made')")
    first = lab.runner()
    first.start(attempt)
    assert lab.end(attempt, lab.runner()).code == 0
    assert (attempt.working_directory / "out").read_text() == "made"


def test_a_task_that_may_write_nowhere_else_has_its_directory_and_tmp(lab: Any) -> None:
    code = """
import pathlib
pathlib.Path("here").touch()
pathlib.Path("/tmp/there").touch()
try:
    pathlib.Path("/var/tmp/nowhere").touch()
except OSError as error:
    raise SystemExit(error.errno)
"""
    assert lab.end(lab.python(code), lab.runner(read_only=True)).code == 30  # EROFS


@pytest.mark.parametrize("user", ["caller", "root"])
@pytest.mark.usefixtures("elsewhere")
def test_a_container_that_may_not_be_written_to_gets_no_copies(lab: Any, user: str) -> None:
    end = lab.end(lab.attempt("true", user=user), lab.runner(read_only=True))
    assert (end.reason, end.retryable) == (FailureReason.START_FAILED, False)
    assert "leave out read_only" in end.detail


def test_root_in_a_container_that_may_not_be_written_to_is_refused_beforehand(lab: Any) -> None:
    tasks = [lab.attempt("true", task=user, user=user).task for user in ("caller", "root")]
    (problem,) = lab.runner(read_only=True).check(lab.plan(*tasks)).problems
    assert (problem.code, problem.key) == ("BC2501", "tasks[1].user")
    assert not lab.runner().check(lab.plan(*tasks)).problems


def test_gpus_that_a_daemon_cannot_give_are_refused_before_anything_starts(
    lab: Any, docker_client: docker.DockerClient
) -> None:
    if "nvidia" in docker_client.info()["Runtimes"]:
        pytest.skip("this daemon has GPUs")
    task = PlannedTask(
        id="one", command=("true",), image=lab.image, requirements=Requirements(gpus=1)
    )
    (problem,) = lab.runner().check(lab.plan(task)).problems
    assert (problem.code, problem.key) == ("BC2501", "tasks[0].requirements.gpus")


def test_secrets_are_files_that_the_worker_alone_can_read(
    lab: Any, monkeypatch: pytest.MonkeyPatch, docker_client: docker.DockerClient
) -> None:
    value = f"CANARY-{uuid.uuid4()}\n"
    monkeypatch.setenv("API_TOKEN", value)
    code = """
import hashlib, os, sys
path = os.environ["BATCHCORE_SECRETS_DIR"] + "/API_TOKEN"
assert hashlib.sha256(open(path, "rb").read()).hexdigest() == sys.argv[1]
assert os.stat(path).st_mode & 0o777 == 0o400
"""
    digest = hashlib.sha256(value.encode()).hexdigest()
    for user in ("caller", "root"):
        fields: dict[str, Any] = {"task": user, "user": user, "secrets": ("API_TOKEN",)}
        attempt = lab.attempt("python3", "-c", code, digest, **fields)
        runner = lab.runner()
        assert lab.end(attempt, runner).code == 0
        assert value.strip() not in str(
            docker_client.api.inspect_container(container_name(attempt))
        )
        runner.remove(attempt)
        assert not any("secret" in line for line in runner.leftovers(lab.run_id, Path()))


def test_secrets_are_copied_where_the_daemon_sees_the_run_alone(
    lab: Any, monkeypatch: pytest.MonkeyPatch, read_stdout: Read
) -> None:
    monkeypatch.setenv("API_TOKEN", "the value")
    monkeypatch.setattr(launch, "daemon_sees", lambda *args: lab.folder in args[2].parents)
    attempt = lab.attempt("cat", "/run/secrets/API_TOKEN", secrets=("API_TOKEN",))
    runner = lab.runner()
    assert runner.start(attempt) is None
    assert secretfiles.leftovers(lab.run_id) == []
    assert lab.end(attempt, runner).code == 0
    assert read_stdout(attempt) == "the value"
    second = lab.attempt("true", task="two", secrets=("API_TOKEN",))
    end = lab.end(second, lab.runner(read_only=True))
    assert end.reason is FailureReason.START_FAILED
    assert "leave out read_only" in end.detail


def in_shell(lab: Any, attempt: Attempt, words: str) -> tuple[int, str]:
    """Type a line into the shell of an attempt; return its exit code and what was shown."""
    shell = lab.runner().shell(attempt)
    child = pexpect.spawn(shell.argv[0], list(shell.argv[1:]), cwd=str(shell.directory), timeout=60)
    child.sendline(f"{words}; exit 4")
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus, (child.before or b"").decode()


@pytest.fixture
def docker_program() -> None:
    """Need Docker's command line."""
    if shutil.which("docker") is None:
        lacking("the program `docker` is not installed")


@pytest.mark.usefixtures("docker_program")
@pytest.mark.parametrize("user", ["caller", "root"])
def test_a_shell_is_where_the_command_would_be(lab: Any, user: str) -> None:
    attempt = given(lab.attempt("false", user=user))
    code, shown = in_shell(lab, attempt, "echo $BATCHCORE_TASK_ID-$(id -u)-$(cat in.txt)")
    assert code == 4
    assert f"one-{0 if user == 'root' else os.getuid()}-given" in shown
    lab.runner().sweep(lab.run_id, Path())
    assert lab.runner().leftovers(lab.run_id, Path()) == []


def test_without_docker_s_program_there_is_no_shell(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EnvironmentNotReady, match="no program `docker`"):
        lab.runner().shell(lab.attempt("true"))


@pytest.mark.usefixtures("docker_program")
def test_an_image_without_a_shell_opens_none(lab: Any, image_without_shell: str) -> None:
    with pytest.raises(EnvironmentNotReady, match="has no /bin/sh"):
        lab.runner().shell(lab.attempt("true", image=image_without_shell))
