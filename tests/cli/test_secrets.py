"""Secrets through whole runs: the worker has them, and no trace of them is left anywhere else."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from batchcore.run import Run

if TYPE_CHECKING:
    import docker

CANARY = "CANARY-5f3c 'quoted' $HOME"
DIGEST = hashlib.sha256(CANARY.encode()).hexdigest()

# Fails at first, so that there is a second attempt; `hold` waits until the test has looked around.
CHECKS = """\
test "$(sha256sum < "$BATCHCORE_SECRETS_DIR/API_TOKEN" | cut -c1-64)" = "$DIGEST" || exit 9
"""
RETRIES = CHECKS + 'echo right; test "$BATCHCORE_ATTEMPT" = 2'
HOLDS = CHECKS + "echo ready; n=0; while [ ! -e go ] && [ $((n+=1)) -lt 1200 ]; do sleep 0.05; done"
FAILS = CHECKS + "echo complaint >&2; exit 3"

Call = Callable[..., Any]


@pytest.fixture(
    params=["local-process", pytest.param("local-docker", marks=pytest.mark.docker)],
)
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend of this machine, in turn."""
    return str(request.param)


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where secrets lie; everything else of a run lies in another directory."""
    directory = tmp_path / "memory"
    directory.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory))
    monkeypatch.setenv("API_TOKEN", CANARY)
    return directory


@pytest.fixture
def secret_job(
    request: pytest.FixtureRequest, here: Path, memory: Path, backend: str
) -> Callable[..., str]:
    """Write a job whose tasks have the secret, and return its name."""
    image = request.getfixturevalue("worker_base_image") if backend == "local-docker" else ""

    def write(more: str = "retries = 1", **shells: str) -> str:
        tasks = "".join(
            f"[[tasks]]\nid = '{i}'\nshell = '''{line}'''\n" for i, line in shells.items()
        )
        head = f'name = "demo"\nsecrets = ["API_TOKEN"]\nenv.DIGEST = "{DIGEST}"\n{more}\n'
        head += f'image = "{image}"\n' if image else ""
        (here / "job.toml").write_text(head + tasks)
        return "job.toml"

    return write


@pytest.fixture
def held(
    secret_job: Call, here: Path, backend: str
) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that drives a worker which has read its secret and waits; and the run."""
    file, run = secret_job(hold=HOLDS), here / "run"
    line = [sys.executable, "-m", "batchcore", "run", file, "--dir", "run", "-b", backend, "-v"]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as driver:
        assert driver.stderr is not None
        next(line for line in driver.stderr if "hold  running" in line)
        wait_until_recorded(run)
        yield driver, run
        release(run)


def wait_until_recorded(run: Path) -> None:
    """Return once the record says that the worker runs."""
    deadline = time.monotonic() + 20
    while Run.load(run).task("hold").state != "running" and time.monotonic() < deadline:
        time.sleep(0.01)


def release(run: Path) -> None:
    """Let the worker that waits go on."""
    for directory in run.glob("work/hold/*/task/wd"):
        (directory / "go").touch()


def places_with_the_canary(*directories: Path) -> list[str]:
    """Return the files that hold it, or have it in their names."""
    needle = b"CANARY-5f3c"
    return [
        str(path)
        for directory in directories
        for path in directory.rglob("*")
        if needle in os.fsencode(path) or (path.is_file() and needle in path.read_bytes())
    ]


def descendants(pid: int) -> set[int]:
    """Return the processes that a process has started, and those that they have."""
    found = set()
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, content(children).split()):
            found |= {child} | descendants(child)
    return found


def shown_by(pids: set[int]) -> bytes:
    """Return the environments and the command lines of processes."""
    names = [Path(f"/proc/{pid}/{name}") for pid in pids for name in ("environ", "cmdline")]
    return b"\0".join(content(path) for path in names)


def content(path: Path) -> bytes:
    """Return a file of a process, empty where that has ended since it was seen."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def container_of(run: Path, client: docker.DockerClient) -> Any:
    """Return the one container of a run."""
    label = f"batchcore.run={Run.load(run).id}"
    (container,) = client.containers.list(filters={"label": label})
    return container


def secrets_in(memory: Path) -> list[Path]:
    return sorted((memory / "batchcore").glob("*/*"))


def test_no_verb_shows_a_secret_and_no_file_of_the_run_keeps_it(
    cli: Call, secret_job: Call, here: Path, memory: Path, backend: str
) -> None:
    file = secret_job(good=RETRIES, bad=FAILS)
    run = ("run", file, "-b", backend)
    shown = [
        cli(*run, "--dry-run", "--json"),
        cli(*run, "-v"),
        cli(*run, "--json"),
        cli("status", "demo"),
        cli("status", "demo", "--json"),
        cli("logs", "demo", "good"),
        cli("logs", "demo", "bad", "--stderr"),
        cli("clean", "demo", "--json"),
        cli("config", "show"),
    ]
    assert [done.code for done in shown] == [0, 3, 3, 0, 0, 0, 0, 0, 0]
    assert "CANARY" not in repr(shown)
    assert "complaint" in shown[1].err
    tasks = {task["id"]: task for task in shown[4].data["tasks"]}
    assert (tasks["good"]["state"], tasks["good"]["attempt"]) == ("succeeded", 2)
    assert tasks["bad"]["exit_code"] == 3
    assert places_with_the_canary(here) == []
    assert secrets_in(memory) == []


def test_no_process_shows_a_secret_while_it_runs(
    held: tuple[Any, Path], here: Path, memory: Path, backend: str
) -> None:
    driver, run = held
    shown = shown_by(descendants(driver.pid))
    assert b"BATCHCORE_SECRETS_DIR" in shown or backend != "local-process"
    assert b"CANARY" not in shown
    assert places_with_the_canary(here) == []
    assert [path.name for path in secrets_in(memory)] == ["API_TOKEN"]
    release(run)
    assert driver.wait(timeout=60) == 0
    assert secrets_in(memory) == []


@pytest.mark.docker
@pytest.mark.parametrize("backend", ["local-docker"], indirect=True)
def test_docker_shows_no_secret(held: tuple[Any, Path], docker_client: docker.DockerClient) -> None:
    _, run = held
    container = container_of(run, docker_client)
    first = container.attrs["State"]["Pid"]
    assert "CANARY" not in repr(container.attrs)
    shown = shown_by({first} | descendants(first))
    assert b"BATCHCORE_SECRETS_DIR" in shown
    assert b"CANARY" not in shown
    assert {m["Destination"]: m["RW"] for m in container.attrs["Mounts"]}["/run/secrets"] is False


@pytest.mark.docker
@pytest.mark.parametrize("backend", ["local-docker"], indirect=True)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can read what the daemon keeps")
def test_docker_keeps_no_secret(held: tuple[Any, Path], docker_client: docker.DockerClient) -> None:
    _, run = held
    container = container_of(run, docker_client)
    kept = Path(docker_client.info()["DockerRootDir"], "containers", container.id)
    assert (kept / "config.v2.json").exists()
    assert places_with_the_canary(kept) == []


def test_after_a_kill_the_same_command_goes_on_and_leaves_no_secret(
    process: Call, secret_job: Call, here: Path, memory: Path, backend: str, monkeypatch: Any
) -> None:
    line = ("run", secret_job(good=RETRIES), "-b", backend)
    monkeypatch.setenv("BATCHCORE_CRASH_AT", "engine.started:1")
    assert process(*line).code == -signal.SIGKILL
    assert [path.name for path in secrets_in(memory)] == ["API_TOKEN"]
    monkeypatch.delenv("BATCHCORE_CRASH_AT")
    done = process(*line)
    assert done.code == 0, done.err
    assert "CANARY" not in repr(done)
    assert list((memory / "batchcore").iterdir()) == []
    assert places_with_the_canary(here) == []


def test_cancel_and_clean_remove_the_secrets_of_a_killed_run(
    cli: Call, held: tuple[Any, Path], here: Path, memory: Path, monkeypatch: Any
) -> None:
    driver, run = held
    driver.kill()
    driver.wait()
    assert secrets_in(memory) != []
    monkeypatch.delenv("API_TOKEN")
    assert cli("cancel", str(run)).code == 0
    assert cli("clean", str(run), "--yes").code == 0
    assert list((memory / "batchcore").iterdir()) == []


@pytest.mark.parametrize("value", [None, ""])
def test_a_secret_that_is_not_set_is_refused_before_anything_is_created(
    cli: Call,
    secret_job: Call,
    tree: Call,
    memory: Path,
    monkeypatch: Any,
    backend: str,
    value: Any,
) -> None:
    file = secret_job(a="true", b="true")
    if value is None:
        monkeypatch.delenv("API_TOKEN")
    else:
        monkeypatch.setenv("API_TOKEN", value)
    before = tree()
    done = cli("run", file, "-b", backend)
    assert done.code == 2
    assert "error[BC2206]: the secret API_TOKEN is not set" in done.err
    assert "job.toml tasks[0].secrets (and 1 more tasks)" in done.err
    assert "export API_TOKEN=…" in done.err
    assert tree() == before
    assert list(memory.iterdir()) == []


def test_to_go_on_only_what_has_still_to_start_needs_its_secret(
    cli: Call, here: Path, memory: Path, monkeypatch: Any
) -> None:
    (here / "job.toml").write_text(
        'name = "demo"\n'
        '[[tasks]]\nid = "uses"\nshell = "test -s $BATCHCORE_SECRETS_DIR/API_TOKEN"\n'
        'secrets = ["API_TOKEN"]\n'
        '[[tasks]]\nid = "late"\nshell = "exit 3"\n'
    )
    assert cli("run", "job.toml").code == 3
    monkeypatch.delenv("API_TOKEN")
    done = cli("run", "job.toml")
    assert done.code == 3
    assert "1 succeeded before" in done.err


def test_a_task_that_failed_needs_its_secret_to_run_again(
    cli: Call, secret_job: Call, backend: str, monkeypatch: Any
) -> None:
    file = secret_job("", a=FAILS)
    assert cli("run", file, "-b", backend).code == 3
    monkeypatch.delenv("API_TOKEN")
    assert cli("run", file, "-b", backend).code == 2


def test_a_running_task_is_adopted_without_its_secret(
    process: Call, held: tuple[Any, Path], memory: Path, backend: str, monkeypatch: Any
) -> None:
    driver, run = held
    driver.kill()
    driver.wait()
    monkeypatch.delenv("API_TOKEN")
    release(run)
    done = process("run", "job.toml", "--dir", "run", "-b", backend)
    assert done.code == 0, done.err
    assert secrets_in(memory) == []


def test_a_secret_named_like_an_inherited_variable_is_not_inherited(
    cli: Call, here: Path, memory: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("TZ", CANARY)
    (here / "job.toml").write_text(
        'name = "demo"\nsecrets = ["TZ"]\n[[tasks]]\nid = "a"\nshell = "test -z \\"$TZ\\""\n'
    )
    assert cli("run", "job.toml").code == 0


def test_a_worker_without_secrets_is_told_of_no_directory(cli: Call, job: Call) -> None:
    assert cli("run", job(a='test -z "${BATCHCORE_SECRETS_DIR+set}"')).code == 0
