"""What a worker sees in a real container."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from batchcore.local.runner import Attempt
from batchcore.model import Mount, Requirements
from batchcore.states import FailureReason

if TYPE_CHECKING:
    import docker

pytestmark = pytest.mark.docker

HOSTILE = [
    "plain",
    "two words",
    "'single' \"double\" `back`",
    "$HOME ${PATH} $(id) \\n",
    "new\nline\ttab",
    "grün 日本 \U0001f600",
    "-dash",
    "--",
    "",
    "*",
    "; exit 9 #",
    "%s {0}",
]
SHOW_ARGUMENTS = "import json, sys; print(json.dumps(sys.argv[1:]))"

Read = Callable[[Attempt], str]


def test_paths_and_environment(lab: Any, read_stdout: Read) -> None:
    attempt = lab.python(
        "import json, os; print(json.dumps([os.getcwd(), dict(os.environ)]))",
        env={"MINE": "a\nb $x"},
    )
    assert lab.end(attempt).code == 0
    directory, environment = json.loads(read_stdout(attempt))
    inside = f"/mnt/batch/tasks/workitems/{lab.run_id}/job-1/one"
    assert directory == f"{inside}/wd"
    assert environment["AZ_BATCH_TASK_WORKING_DIR"] == environment["HOME"] == directory
    assert environment["AZ_BATCH_TASK_DIR"] == inside
    assert environment["AZ_BATCH_NODE_ROOT_DIR"] == "/mnt/batch/tasks"
    assert environment["BATCHCORE_RUN_ID"] == lab.run_id
    assert environment["BATCHCORE_ATTEMPT"] == "1"
    assert environment["MINE"] == "a\nb $x"
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"  # the image's own
    assert "TINI_KILL_PROCESS_GROUP" not in environment


def test_the_worker_has_no_privileges(lab: Any, read_stdout: Read) -> None:
    attempt = lab.attempt("cat", "/proc/self/status", "/proc/1/comm")
    assert lab.end(attempt).code == 0
    lines = read_stdout(attempt).splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[kind], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert "init" in lines[-1] or "tini" in lines[-1]


def test_files_belong_to_the_caller(lab: Any, read_stdout: Read) -> None:
    attempt = lab.python("import os; open('out', 'w'); os.mkdir('d'); print(os.getuid())")
    assert lab.end(attempt).code == 0
    assert read_stdout(attempt) == f"{os.getuid()}\n"
    for name in ("wd/out", "wd/d", "stdout.txt", "stderr.txt"):
        found = (attempt.task_directory / name).stat()
        assert (found.st_uid, found.st_gid) == (os.getuid(), os.getgid())


def test_an_unknown_user_can_write_its_home(lab: Any, read_stdout: Read) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give a directory to somebody else")
    attempt = lab.python("from pathlib import Path; (Path.home() / 'out').touch()")
    for path in (attempt.task_directory, attempt.working_directory):
        os.chown(path, 12345, 12345)
    assert lab.end(attempt, lab.runner(user="12345:12345")).code == 0
    assert (attempt.working_directory / "out").stat().st_uid == 12345


def test_both_streams_are_files_beside_the_working_directory(lab: Any) -> None:
    attempt = lab.python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert lab.end(attempt).code == 3
    assert (attempt.task_directory / "stdout.txt").read_text() == "out\n"
    assert (attempt.task_directory / "stderr.txt").read_text() == "err\n"
    assert list(attempt.working_directory.iterdir()) == []


def test_stdin_is_empty(lab: Any, read_stdout: Read) -> None:
    attempt = lab.python("import sys; print(repr(sys.stdin.read()))")
    lab.end(attempt)
    assert read_stdout(attempt) == "''\n"


def test_hostile_words_arrive_unaltered(lab: Any, read_stdout: Read) -> None:
    attempt = lab.attempt("python3", "-c", SHOW_ARGUMENTS, *HOSTILE)
    assert lab.end(attempt).code == 0
    assert json.loads(read_stdout(attempt)) == HOSTILE


def test_a_variable_named_like_one_of_a_script_is_left_alone(lab: Any, read_stdout: Read) -> None:
    names = ("code", "marker", "stdout", "BASH_VERSION")
    attempt = lab.python(
        f"import os; print([os.environ[n] for n in {names}])", env=dict.fromkeys(names, "mine")
    )
    assert lab.end(attempt).code == 0
    assert read_stdout(attempt) == f"{['mine'] * 4}\n"


def test_the_images_entrypoint_applies(
    lab: Any, build: Callable[..., str], read_stdout: Read
) -> None:
    entrypoint = json.dumps(["python3", "-c", SHOW_ARGUMENTS, "first word"])
    image = build(f"ENTRYPOINT {entrypoint}", 'CMD ["default"]')
    attempt = lab.attempt(*HOSTILE, image=image)
    assert lab.end(attempt).code == 0
    assert json.loads(read_stdout(attempt)) == ["first word", *HOSTILE]


def test_mounts_are_read_only_unless_asked(lab: Any, tmp_path: Path) -> None:
    for name in ("data, odd", "scratch"):
        (tmp_path / name).mkdir()
    (tmp_path / "data, odd" / "in").write_text("x")
    attempt = lab.python(
        "open('/scratch/out', 'w').write(open('/data/in').read())\n"
        "try: open('/data/new', 'w')\n"
        "except OSError as error: print(error.errno)\n",
        mounts=(Mount("/data", "data, odd"), Mount("/scratch", "scratch", read_only=False)),
    )
    assert lab.end(attempt).code == 0
    assert (attempt.task_directory / "stdout.txt").read_text() == "30\n"  # EROFS
    assert (tmp_path / "scratch" / "out").read_text() == "x"


def test_network_none_has_only_loopback(lab: Any, read_stdout: Read) -> None:
    attempt = lab.attempt("ls", "/sys/class/net")
    assert lab.end(attempt, lab.runner(network="none")).code == 0
    assert "eth0" not in read_stdout(attempt)


def test_the_number_of_processes_is_limited(lab: Any) -> None:
    attempt = lab.python(
        "import os, sys\n"
        "try:\n"
        "    while os.fork(): pass\n"
        "    __import__('time').sleep(30)\n"
        "except BlockingIOError: sys.exit(5)\n"
    )
    assert lab.end(attempt, lab.runner(pids_limit=10)).code == 5


def test_init_reaps_what_the_command_leaves(lab: Any, read_stdout: Read) -> None:
    attempt = lab.python(
        "import os, pathlib, time\n"
        "if os.fork() == 0:\n"
        "    if os.fork() == 0: os._exit(0)\n"  # an orphan: init is its parent now
        "    os._exit(0)\n"
        "os.wait()\n"
        "until = time.monotonic() + 10\n"
        "while time.monotonic() < until:\n"
        "    states = [p.read_text() for p in pathlib.Path('/proc').glob('[0-9]*/stat')]\n"
        "    if not any(') Z ' in s for s in states): print('none left'); break\n"
    )
    assert lab.end(attempt).code == 0
    assert read_stdout(attempt) == "none left\n"


def test_out_of_memory_is_told_with_the_limit(lab: Any) -> None:
    limit = Requirements(memory="32MiB")
    end = lab.end(lab.python("x = bytearray(200 * 2**20)", requirements=limit))
    assert (end.code, end.reason) == (137, FailureReason.OUT_OF_MEMORY)
    assert "32.0 MiB" in end.detail


def test_everything_carries_the_runs_labels(lab: Any, docker_client: docker.DockerClient) -> None:
    attempt = lab.attempt("true", labels={"team": "x"})
    lab.end(attempt)
    found = docker_client.containers.list(
        all=True, filters={"label": f"batchcore.run={lab.run_id}"}
    )
    assert [container.name for container in found] == [f"bc-{lab.run_id}-one-1"]
    assert found[0].labels["batchcore.task"] == "one"
    assert found[0].labels["batchcore.attempt"] == "1"
    assert found[0].labels["team"] == "x"
