"""What all tests share: parts that a machine may lack, and an environment of their own."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    import docker

BASE_IMAGE = "batchcore-test-base:latest"
REQUIRE = "BATCHCORE_REQUIRE"
KEPT = {REQUIRE, "BATCHCORE_AZURITE"}
_PREFIX = "not on this machine: "


def lacking(reason: str) -> NoReturn:
    """End the test for want of a part: a skip, or a failure where nothing may be skipped."""
    if os.environ.get(REQUIRE) == "all":
        pytest.fail(f"{reason} ({REQUIRE}=all forbids to skip)", pytrace=False)
    pytest.skip(_PREFIX + reason)


@cache
def _docker_problem() -> str | None:
    try:
        import docker
        from docker.errors import DockerException
    except ImportError as error:
        return f"the Docker SDK cannot be imported: {error}"
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    try:
        # The SDK leaks its socket when this connection is refused, which would fail a later test.
        if host.startswith("unix://"):
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(5)
                probe.connect(host.removeprefix("unix://"))
        docker.from_env(timeout=20).close()
    except (DockerException, OSError) as error:
        return f"no Docker daemon answers at {host}: {error}"
    return None


def pytest_configure() -> None:
    """Prepare this process: for Ctrl-C in children, and for drawn examples."""
    # Whoever runs the tests in the background may ignore it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # A busy machine is no failure.
    settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("here")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("docker"):
        problem = _docker_problem()
        if problem is not None:
            lacking(problem)


@pytest.fixture(scope="session")
def docker_client() -> Iterator[docker.DockerClient]:
    """A client of this machine's Docker daemon."""
    problem = _docker_problem()
    if problem is not None:
        lacking(problem)
    import docker

    client = docker.from_env(timeout=120)
    yield client
    client.close()


@pytest.fixture(scope="session")
def worker_base_image(docker_client: docker.DockerClient) -> str:
    """The name of an image with Python, numpy and joblib."""
    if not docker_client.images.list(name=BASE_IMAGE):
        lacking(f"there is no image {BASE_IMAGE}; tools/base_image.py makes it")
    return BASE_IMAGE


@pytest.fixture(autouse=True)
def _own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's settings out of the tests, and the tests out of the user's home."""
    home = tmp_path_factory.mktemp("home")
    # Not the `monkeypatch` fixture: a test must be free to undo its own changes alone.
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            ours = name.startswith(("AZ_BATCH_", "BATCHCORE_")) and name not in KEPT
            if ours or name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE"):
                patch.delenv(name)
        patch.setenv("HOME", str(home))
        # As in an activated environment: launchers such as pyenv's break under another HOME.
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        for name in ("CONFIG", "CACHE", "DATA", "STATE"):
            patch.setenv(f"XDG_{name}_HOME", str(home / f".{name.lower()}"))
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was not run for want of a part; other skips are the tests' own business."""
    lacked: dict[str, list[str]] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        _, found, why = reason.partition(_PREFIX)
        if found:
            lacked.setdefault(why, []).append(report.nodeid)
    if not lacked:
        return
    terminalreporter.section("not run on this machine")
    for why, tests in lacked.items():
        terminalreporter.line(f"{len(tests)} test(s): {why}")
        for test in tests:
            terminalreporter.line(f"    {test}")
