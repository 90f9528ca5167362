"""The kit, once for each wrong backend and for the right one; run by `test_wrong_backends.py`."""

from __future__ import annotations

import os
import signal

import pytest

from backends import WRONG, DeclaresWhatItCannot, Right
from batchcore.clock import SystemClock
from batchcore.testing import (
    BackendConformance,
    Opened,
    PluginInstaller,
    Subject,
    install_plugin,  # noqa: F401 - a fixture
)
from batchcore.testing.deadline import Deadline

PLUGIN = """
from batchcore.backend import BackendSpec, NATIVE
from batchcore.hookspecs import hookimpl
from batchcore.local import plugin

@hookimpl
def batchcore_register_backend():
    like = plugin.batchcore_register_backend()
    return BackendSpec(
        name="wrong",
        summary="breaks the contract",
        factory="backends:{name}",
        settings=like.settings,
        capabilities={{**like.capabilities, **{more}}},
    )
"""


def lose(run: Opened, task_id: str) -> None:
    """Kill the first attempt's processes at once, so that none can write down how it ended."""
    pid = run.context.directory / "work" / task_id / "1" / "control" / "pid"
    deadline = Deadline(60.0)
    while not (pid.exists() and pid.read_text().endswith("\n")):
        deadline.hold("local-process: a task that runs has a file with its pid", pid)
        SystemClock().sleep(0.01)
    os.killpg(int(pid.read_text()), signal.SIGKILL)


def suite(backend: type[Right]) -> type[BackendConformance]:
    """Return the kit for a backend."""
    more = "{'memory_limit': NATIVE}" if backend is DeclaresWhatItCannot else "{}"
    seconds = 60.0 if backend is Right else backend.seconds

    class Suite(BackendConformance):
        @pytest.fixture
        def subject(self, install_plugin: PluginInstaller) -> Subject:  # noqa: F811 - the fixture
            install_plugin("wrong", PLUGIN.format(name=backend.__name__, more=more))
            return Subject(backend="wrong", seconds=seconds, interrupt=lose)

    Suite.__name__ = Suite.__qualname__ = f"Test{backend.__name__}"
    return Suite


globals().update({f"Test{backend.__name__}": suite(backend) for backend in (Right, *WRONG)})
