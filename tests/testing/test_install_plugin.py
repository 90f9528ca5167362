"""`install_plugin` installs for this process and for those that it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from batchcore.plugins import Plugins
from batchcore.testing import PluginInstaller, install_plugin

__all__ = ["install_plugin"]

SOURCE = """
    from batchcore.backend import NATIVE, BackendSpec
    from batchcore.hookspecs import hookimpl

    @hookimpl
    def batchcore_register_backend():
        return BackendSpec(
            name="demo",
            summary="for tests",
            factory="batchcore.testing.memory_service:create",
            settings="batchcore.testing.memory_settings:MemorySettings",
            capabilities={"retries": NATIVE},
        )
"""


def test_a_plugin_is_found_in_this_process(install_plugin: PluginInstaller) -> None:
    install_plugin("demo", SOURCE)
    assert Plugins().spec("demo").summary == "for tests"


def test_a_plugin_is_found_in_a_process_of_the_test(install_plugin: PluginInstaller) -> None:
    install_plugin("demo", SOURCE)
    command = [sys.executable, "-m", "batchcore", "backends", "show", "demo", "--json"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(shown.stdout)["distribution"] == "demo-demo"


def test_what_was_on_the_path_stays_there(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    installer = request.getfixturevalue("install_plugin")
    assert os.environ["PYTHONPATH"].split(os.pathsep) == [str(installer.site), "/somewhere"]
