"""What the doctor says of the daemon of this machine, and of one that is not there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from batchcore.errors import EnvironmentNotReady
from batchcore_localdocker.connection import Connection
from batchcore_localdocker.doctor import LABELS, _judged, _limits, _set, examine
from batchcore_localdocker.settings import LocalDockerSettings
from batchcore_localdocker.trial import MEMORY, PIDS, Trial, try_container

if TYPE_CHECKING:
    import docker

Names = Callable[[], set[str]]


@pytest.fixture
def left(docker_client: docker.DockerClient) -> Names:
    """Return a function that names the doctor's own containers."""

    def look() -> set[str]:
        role = {"label": f"batchcore.role={LABELS['batchcore.role']}"}
        found = docker_client.containers.list(all=True, filters=role)
        return {str(container.name) for container in found}

    return look


def messages(**settings: Any) -> dict[str, str]:
    return {f.what: f.level for f in examine(LocalDockerSettings(**settings))}


@pytest.mark.docker
def test_a_daemon_that_can_all_has_no_problem_and_nothing_is_left(
    worker_base_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: Names
) -> None:
    monkeypatch.chdir(tmp_path)
    told = messages()
    assert "problem" not in told.values()
    assert told["a container runs as you, without capabilities"] == "ok"
    assert told["what it writes is yours"] == "ok"
    assert told["a limit of memory holds"] == "ok"
    assert any(what.startswith("Docker ") and "API 1." in what for what in told)
    assert list(tmp_path.iterdir()) == []
    assert left() == set()


@pytest.mark.docker
def test_without_an_image_that_has_a_shell_it_says_what_was_not_tried(
    worker_base_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # No image of this machine is for that one.
    told = messages(platform="linux/mips64le")
    (what,) = [what for what in told if what.startswith("not checked")]
    assert told[what] == "warning"


@pytest.mark.docker
def test_a_container_tells_its_limits_and_writes_as_this_user(
    worker_base_image: str, tmp_path: Path, left: Names
) -> None:
    connection = Connection(slots=1)
    trial = try_container(connection.client, worker_base_image, tmp_path, LABELS)
    connection.close()
    assert (trial.code, trial.memory, trial.owner) == (0, MEMORY, os.getuid())
    assert left() == set()


@pytest.mark.docker
def test_an_image_that_cannot_run_tells_why(
    image_without_shell: str, tmp_path: Path, left: Names
) -> None:
    connection = Connection(slots=1)
    trial = try_container(connection.client, image_without_shell, tmp_path, LABELS)
    connection.close()
    assert trial.code == 127
    assert "/bin/sh" in trial.detail
    assert left() == set()


def test_without_a_daemon_the_way_to_start_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(EnvironmentNotReady) as caught:
        next(examine(LocalDockerSettings()))
    assert "systemctl start docker" in caught.value.hint


def test_limits_that_the_daemon_cannot_set_are_named_together() -> None:
    (finding,) = _limits({"MemoryLimit": False, "PidsLimit": False, "CpuCfsQuota": True})
    assert "cannot limit memory and processes" in finding.what


TRIAL = Trial(code=0, detail="", memory=MEMORY, pids=PIDS, owner=os.getuid())


@pytest.mark.parametrize(
    ("change", "level", "word"),
    [
        ({"owner": os.getuid() + 1}, "problem", "userns-remap"),
        ({"code": 126, "detail": "no"}, "problem", "docker run"),
        ({"memory": 2**63 - 4096}, "warning", "cgroups"),
    ],
)
def test_what_a_container_shows_is_judged(change: dict[str, Any], level: str, word: str) -> None:
    bad = [f for f in _judged(replace(TRIAL, **change), {}) if f.level != "ok"]
    assert [finding.level for finding in bad] == [level]
    assert word in bad[0].fix


@pytest.mark.parametrize(
    ("declared", "seen", "level"),
    [
        (True, 64, "ok"),
        (True, None, "ok"),
        (True, 9223372036854771712, "warning"),
        (False, None, "warning"),
    ],
)
def test_a_limit_is_believed_as_it_is_seen_inside(
    declared: bool, seen: int | None, level: str
) -> None:
    assert _set("memory", declared, seen, 64).level == level
