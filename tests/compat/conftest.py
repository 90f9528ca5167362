"""Clients as controllers of super_batch make them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchcore.clock import SystemClock
from batchcore.compat.config import Config
from batchcore.compat.super_batch import Client
from batchcore_azure.emulator.fixture import (  # noqa: TID251 - the fixtures it ships
    azure_emulator,
    azurite_storage,
)

__all__ = ["azure_emulator", "azurite_storage"]

IMAGE = "batchcore-test-base:latest"
LONGEST_SLEEP = 0.1

Make = Callable[..., Any]


@pytest.fixture(autouse=True)
def _controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller without words, in a directory and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["controller.py"])
    for name in Config.__struct_fields__:
        monkeypatch.delenv(name, raising=False)

    def sleep(_clock: SystemClock, seconds: float) -> None:
        time.sleep(min(seconds, LONGEST_SLEEP))

    monkeypatch.setattr(SystemClock, "sleep", sleep)


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs run as processes."""
    monkeypatch.setenv("BATCHCORE_BACKEND", "local-process")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """`BATCH_DIRECTORY`, with a file in it."""
    path = tmp_path / "batch"
    path.mkdir()
    (path / "in.txt").write_text("in")
    return path


class Demo(Client):
    """A client with a short way to add a task."""

    def add(self, number: int, command: str = 'sh -c "cat in.txt > out.txt"') -> None:
        """Add a task that gets in.txt and owes out.txt."""
        resource = self.build_resource_file("in.txt", "in.txt")
        output = self.build_output_file("out.txt", f"out_{number}.txt")
        self.add_task([resource], [output], command)


@pytest.fixture
def make(directory: Path) -> Make:
    """Make a client of the job `demo`."""

    def client(**settings: Any) -> Demo:
        return Demo(**{"JOB_ID": "demo", "BATCH_DIRECTORY": str(directory), **settings})

    return client


@pytest.fixture(params=["local-process", "local-docker", "azure"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a backend that is chosen and ready."""
    name = str(request.param)
    if name != "local-process":
        request.getfixturevalue("worker_base_image")
    if name == "azure":
        request.getfixturevalue("azure_emulator")
        monkeypatch.setenv("BATCHCORE_AZURE_SLOTS_PER_NODE", "4")
    else:
        monkeypatch.setenv("BATCHCORE_BACKEND", name)
    return name
