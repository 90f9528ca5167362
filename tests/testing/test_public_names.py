"""What `batchcore.testing` hands out, and what that costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from batchcore import testing

NAMES = [
    "BackendConformance",
    "Behaviour",
    "Execution",
    "FakeClock",
    "Fault",
    "FaultProxy",
    "ImpatientClock",
    "MemoryBackend",
    "Opened",
    "Outcome",
    "PluginInstaller",
    "Subject",
    "Trial",
    "Work",
    "diamond",
    "execute",
    "failing",
    "fault_proxy",
    "hello",
    "install_plugin",
    "many",
    "succeed",
    "take_machine",
]


def test_the_public_names_are_these_in_order() -> None:
    assert testing.__all__ == NAMES == sorted(NAMES)
    assert dir(testing) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_can_be_imported(name) -> None:
    assert getattr(testing, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        testing.nothing  # noqa: B018 - asking is the test


@pytest.mark.parametrize(
    "names",
    [
        "",
        "MemoryBackend, Outcome, execute, take_machine, FakeClock, FaultProxy, Subject, hello",
    ],
)
def test_what_a_program_uses_needs_no_pytest(names) -> None:
    importing = f"from batchcore.testing import {names}" if names else "import batchcore.testing"
    code = f"import sys; {importing}; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("backend", ["memory", "fault"])
def test_a_backend_for_tests_is_found_by_name_and_needs_no_pytest(backend) -> None:
    code = f"""
import sys
from batchcore.plugins import Plugins
plugins = Plugins()
plugins.create({backend!r}, plugins.settings_type({backend!r})()).close()
sys.exit("pytest" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("module", ["memory_plugin", "fault_plugin"])
def test_describing_a_backend_for_tests_imports_no_file_system(module) -> None:
    code = f"""
import sys
from batchcore.testing import {module}
{module}.batchcore_register_backend()
heavy = {{"batchcore.testing.memory", "batchcore.testing.fault", "batchcore.transfer.collect"}}
sys.exit(bool(heavy & sys.modules.keys()))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
