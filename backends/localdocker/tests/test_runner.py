"""Starting, adopting, waiting, stopping and removing real containers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from batchcore.errors import Conflict, EnvironmentNotReady
from batchcore.local import secretfiles
from batchcore.local.runner import Attempt, Exit
from batchcore.model import Mount
from batchcore.states import FailureReason
from batchcore_localdocker.translate import container_name

if TYPE_CHECKING:
    import docker

pytestmark = pytest.mark.docker

WAIT_SECONDS = 60
SLEEP = ("sleep", "300")
# Says that it is ready to be told to end, and then how it was told.
LISTEN = (
    "import pathlib, signal, sys\n"
    "def told(*_): print('TERM', flush=True); sys.exit(4)\n"
    "signal.signal(signal.SIGTERM, told)\n"
    "pathlib.Path('ready').touch()\n"
    "signal.pause()\n"
)


def until_ready(attempt: Attempt) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not (attempt.working_directory / "ready").exists():
        assert time.monotonic() < deadline, "the command did not get ready"
        threading.Event().wait(0.02)


@pytest.mark.parametrize("code", [1, 126, 127, 200])
def test_an_exit_code_is_the_commands_own(lab: Any, code: int) -> None:
    end = lab.end(lab.python(f"raise SystemExit({code})"))
    assert (end.code, end.reason) == (code, None)
    assert end.ended_at >= end.started_at
    assert abs(end.ended_at - time.time()) < 60


def test_a_shell_that_finds_no_command_is_an_exit_code(lab: Any) -> None:
    end = lab.end(lab.attempt("sh", "-c", "no-such-program"))
    assert (end.code, end.reason) == (127, None)


@pytest.fixture(params=["dash", "bash", "no shell"])
def any_image(
    request: pytest.FixtureRequest, build: Callable[..., str], worker_base_image: str
) -> str:
    if request.param == "bash":
        return build("RUN ln -sf bash /bin/sh")
    if request.param == "no shell":
        return str(request.getfixturevalue("image_without_shell"))
    return worker_base_image


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("no-such-program", "there is no program 'no-such-program'"),
        ("/no/such/program", "there is no program '/no/such/program'"),
        ("cd", "there is no program 'cd'"),
        ("/etc/passwd", "'/etc/passwd' in the image"),
    ],
)
def test_a_command_that_cannot_be_executed_was_not_started(
    lab: Any, any_image: str, program: str, why: str
) -> None:
    end = lab.end(lab.attempt(program, "-x", image=any_image))
    assert (end.code, end.reason, end.retryable) == (None, FailureReason.START_FAILED, False)
    assert why in end.detail


def test_an_image_without_a_shell_has_logs_too(lab: Any, image_without_shell: str) -> None:
    attempt = lab.python(
        "import sys; print('out'); print('err', file=sys.stderr); sys.exit(127)",
        image=image_without_shell,
    )
    end = lab.end(attempt)
    assert (end.code, end.reason) == (127, None)
    assert (attempt.task_directory / "stdout.txt").read_text() == "out\n"
    assert (attempt.task_directory / "stderr.txt").read_text() == "err\n"


def test_logs_from_the_daemon_do_not_follow_a_workers_link(
    lab: Any, image_without_shell: str, tmp_path: Path
) -> None:
    (tmp_path / "victim").write_text("precious")
    attempt = lab.python(
        "import os; print('out'); os.mkdir('../stderr.txt');"
        f"os.symlink({str(tmp_path / 'victim')!r}, '../stdout.txt')",
        image=image_without_shell,
    )
    assert lab.end(attempt).code == 0
    assert (tmp_path / "victim").read_text() == "precious"
    assert (attempt.task_directory / "stdout.txt").read_text() == "out\n"
    assert (attempt.task_directory / "stderr.txt").is_file()


def test_a_mount_that_vanished_is_a_failed_start(lab: Any, tmp_path: Path) -> None:
    end = lab.end(lab.attempt("true", mounts=(Mount("/data", "no such"),)))
    assert end.reason is FailureReason.START_FAILED
    assert str(tmp_path / "no such") in end.detail
    assert not (tmp_path / "no such").exists()


def test_an_image_that_vanished_is_the_images_fault(lab: Any) -> None:
    end = lab.runner().start(lab.attempt("true", image="bc-test-no-such-image:v1"))
    assert end is not None
    assert (end.reason, end.retryable) == (FailureReason.IMAGE, False)


def test_a_running_container_is_adopted(lab: Any) -> None:
    attempt = lab.python(LISTEN)
    assert lab.runner().start(attempt) is None
    until_ready(attempt)
    second = lab.runner()
    assert second.start(attempt) is None
    second.stop(attempt, kill=False)
    end = second.wait(attempt, WAIT_SECONDS)
    assert (end.code, end.reason) == (4, None)
    assert (attempt.task_directory / "stdout.txt").read_text() == "TERM\n"


def test_an_ended_container_is_adopted_and_not_run_again(lab: Any) -> None:
    attempt = lab.python("open('runs', 'a').write('x'); raise SystemExit(6)")
    lab.end(attempt)
    assert lab.end(attempt, lab.runner()).code == 6
    assert (attempt.working_directory / "runs").read_text() == "x"


def test_a_container_that_was_never_started_is_made_anew(
    lab: Any, docker_client: docker.DockerClient
) -> None:
    attempt = lab.attempt("true")
    lab.end(attempt)
    config = docker_client.api.inspect_container(container_name(attempt))
    docker_client.api.remove_container(config["Id"], force=True)
    made = docker_client.api.create_container_from_config(
        {**config["Config"], "HostConfig": config["HostConfig"]}, container_name(attempt)
    )
    end = lab.end(attempt)
    assert end.code == 0
    assert end.native != made["Id"][:12]


def test_a_stranger_of_the_same_name_is_not_touched(
    lab: Any, docker_client: docker.DockerClient
) -> None:
    attempt = lab.attempt("true")
    stranger = docker_client.containers.create(
        lab.image, "true", name=container_name(attempt), labels={"batchcore.run": "another"}
    )
    runner = lab.runner()
    try:
        for call in (
            lambda: runner.start(attempt),
            lambda: runner.stop(attempt, kill=True),
            lambda: runner.remove(attempt),
        ):
            with pytest.raises(Conflict, match="does not belong"):
                call()
        runner.sweep(lab.run_id, lab.folder)
        stranger.reload()
    finally:
        stranger.remove(force=True)


def test_term_reaches_the_whole_group(lab: Any) -> None:
    attempt = lab.attempt("sh", "-c", 'trap "exit 9" TERM; python3 -c "$0" & wait $!', LISTEN)
    runner = lab.runner()
    assert runner.start(attempt) is None
    until_ready(attempt)
    runner.stop(attempt, kill=False)
    end = runner.wait(attempt, WAIT_SECONDS)
    assert (end.code, end.reason) == (9, None)
    assert (attempt.task_directory / "stdout.txt").read_text() == "TERM\n"


def test_term_and_kill_end_a_command_and_are_not_an_interruption(lab: Any) -> None:
    for number, (kill, code) in enumerate([(False, 143), (True, 137)], start=1):
        # The init process ignores a TERM that comes before it has begun to listen.
        attempt = lab.attempt("sh", "-c", "touch ready; exec sleep 300", number=number)
        runner = lab.runner()
        assert runner.start(attempt) is None
        until_ready(attempt)
        assert runner.wait(attempt, 0) is None
        runner.stop(attempt, kill=kill)
        end = runner.wait(attempt, WAIT_SECONDS)
        assert (end.code, end.reason) == (code, None)


def test_a_command_that_ignores_term_is_killed(lab: Any) -> None:
    attempt = lab.attempt("sh", "-c", "trap '' TERM; touch ready; while :; do sleep 0.1; done")
    runner = lab.runner()
    assert runner.start(attempt) is None
    until_ready(attempt)
    runner.stop(attempt, kill=False)
    assert runner.wait(attempt, 0.5) is None
    runner.stop(attempt, kill=True)
    assert runner.wait(attempt, WAIT_SECONDS).code == 137


def test_killed_from_outside_is_an_interruption(
    lab: Any, docker_client: docker.DockerClient
) -> None:
    attempt = lab.attempt(*SLEEP)
    runner = lab.runner()
    assert runner.start(attempt) is None
    docker_client.api.kill(container_name(attempt))
    end = runner.wait(attempt, WAIT_SECONDS)
    assert (end.code, end.reason) == (137, FailureReason.NODE_LOST)


def test_a_task_that_kills_itself_has_failed_by_itself(lab: Any) -> None:
    end = lab.end(lab.attempt("sh", "-c", "kill -9 $$"))
    assert (end.code, end.reason) == (137, None)


def test_a_container_removed_from_outside_is_a_lost_node(
    lab: Any, docker_client: docker.DockerClient
) -> None:
    attempt = lab.attempt(*SLEEP)
    runner = lab.runner()
    assert runner.start(attempt) is None
    docker_client.api.remove_container(container_name(attempt), force=True)
    assert runner.wait(attempt, WAIT_SECONDS).reason is FailureReason.NODE_LOST
    assert lab.runner().wait(attempt, WAIT_SECONDS).reason is FailureReason.NODE_LOST
    runner.stop(attempt, kill=True)
    runner.remove(attempt)


def test_wake_ends_a_wait_and_the_command_goes_on(lab: Any) -> None:
    attempt = lab.attempt(*SLEEP)
    runner = lab.runner()
    assert runner.start(attempt) is None
    ends: list[Exit | None] = []
    waiting = threading.Thread(target=lambda: ends.append(runner.wait(attempt, None)))
    waiting.start()
    runner.wake()
    waiting.join(timeout=10)
    assert ends == [None]
    assert lab.runner().leftovers(lab.run_id, lab.folder) == [
        f"container {container_name(attempt)} (running)"
    ]


def test_stop_and_remove_may_be_repeated(lab: Any) -> None:
    attempt = lab.attempt("true")
    runner = lab.runner()
    lab.end(attempt, runner)
    runner.stop(attempt, kill=False)
    for _time in range(2):
        runner.remove(attempt)
    assert runner.leftovers(lab.run_id, lab.folder) == []


def test_a_removed_attempt_is_not_remembered(lab: Any) -> None:
    attempt = lab.attempt(*SLEEP)
    runner = lab.runner()
    assert runner.start(attempt) is None
    assert runner.wait(attempt, 0.1) is None
    assert runner._heard
    runner.remove(attempt)
    assert not runner._heard


def test_secrets_go_even_if_the_daemon_is_away(
    lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", "the value")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    attempt = lab.attempt("true", secrets=("API_TOKEN",))
    directory = secretfiles.write(attempt)
    with pytest.raises(EnvironmentNotReady):
        lab.runner().remove(attempt)
    assert not directory.exists()
    monkeypatch.delenv("DOCKER_HOST")


def test_two_runs_do_not_see_each_other(lab: Any) -> None:
    own, other = lab.attempt(*SLEEP), lab.attempt(*SLEEP, task="two")
    runner = lab.runner()
    other = Attempt(
        run_id=f"{lab.run_id}-b",
        task=other.task,
        number=1,
        directory=other.directory,
        base=other.base,
    )
    try:
        assert runner.start(own) is None
        assert runner.start(other) is None
        runner.sweep(lab.run_id, lab.folder)
        assert runner.leftovers(lab.run_id, lab.folder) == []
        assert len(runner.leftovers(other.run_id, lab.folder)) == 1
    finally:
        runner.sweep(other.run_id, lab.folder)
    assert runner.leftovers(other.run_id, lab.folder) == []


def test_many_threads_share_a_runner(lab: Any) -> None:
    runner = lab.runner()
    attempts = [lab.attempt("sh", "-c", f"exit {n}", task=f"t{n}") for n in range(8)]
    codes: dict[int, int | None] = {}

    def work(number: int) -> None:
        codes[number] = lab.end(attempts[number], runner).code
        runner.remove(attempts[number])

    threads = [threading.Thread(target=work, args=[n]) for n in range(len(attempts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert codes == {n: n for n in range(8)}
    assert runner.leftovers(lab.run_id, lab.folder) == []


def test_without_a_daemon_the_environment_is_not_ready(
    lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = lab.attempt("true")
    runner = lab.runner()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    with pytest.raises(EnvironmentNotReady, match=r"no\.sock") as caught:
        runner.check(lab.plan(attempt.task))
    assert "DOCKER_HOST" in caught.value.hint
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("DOCKER_CONTEXT", "no-such-context")
    with pytest.raises(EnvironmentNotReady, match="no-such-context"):
        runner.check(lab.plan(attempt.task))
    monkeypatch.delenv("DOCKER_CONTEXT")
    assert not runner.check(lab.plan(attempt.task)).problems
