"""A plugin that was written for the first interface works, whatever has come since."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pluggy
import pytest
from msgspec.structs import replace

from batchcore import hookspecs
from batchcore.errors import JobError, PluginError
from batchcore.hookspecs import OBSERVERS, PROJECT
from batchcore.model import Job, Task
from batchcore.plugins import Plugins
from batchcore.plugins.loading import load_hooks
from batchcore.plugins.metadata import InstalledPlugin, installed_entry_points, plugins_of
from batchcore.testing.conformance.canceling import Canceling
from batchcore.testing.conformance.logs import Logs
from batchcore.testing.conformance.release import Release
from batchcore.testing.conformance.states import States
from batchcore.testing.conformance.submission import Submission
from batchcore.testing.subject import Subject

SITE = Path(__file__).parent / "frozen_v1" / "site"
NAME = "frozen-v1"


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install the frozen plugin for one test."""
    monkeypatch.syspath_prepend(str(SITE))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    yield
    for name in [name for name in sys.modules if name.startswith("batchcore_frozen_v1")]:
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def observer() -> InstalledPlugin:
    """The observer of the frozen plugin."""
    (found,) = plugins_of(installed_entry_points(OBSERVERS, [str(SITE)]))
    return found


class TestFrozenBackend(Canceling, Logs, Release, States, Submission):
    @pytest.fixture
    def subject(self) -> Subject:
        return Subject(backend=NAME)


def test_it_is_listed_and_described() -> None:
    assert [p.problem for p in Plugins().names() if p.name == NAME] == [""]
    assert Plugins().spec(NAME).api_version == 1


def test_its_options_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHCORE_FROZEN_V1_NICE", "3")
    job = Job("old", tasks=[Task("a", command=["nice"])])
    run = job.run(backend=NAME, directory=tmp_path / "run")
    assert run.log("a") == b"3\n"


def test_its_observer_sees_the_run(tmp_path: Path) -> None:
    run = Job("old", tasks=[Task("a", shell="true")]).run(
        backend="local-process", directory=tmp_path / "run"
    )
    *changes, end = (run.directory / "frozen-v1.txt").read_text().splitlines()
    assert "a succeeded" in changes
    assert end == "succeeded"


def test_its_validator_is_heard(tmp_path: Path) -> None:
    job = Job("old", tasks=[Task("a", shell="true", labels={NAME: "refuse"})])
    with pytest.raises(JobError) as refused:
        job.run(backend="local-process", directory=tmp_path / "run")
    assert [problem.code for problem in refused.value.problems] == ["FROZEN1"]


def grown(marker: pluggy.HookspecMarker, **options: Any) -> Any:
    """Return a hook that has got one argument more."""

    def batchcore_task_changed(run_id, task_id, old, new, at, cause): ...

    return marker(batchcore_task_changed, **options)


def change(observer: InstalledPlugin, **more: str) -> list[str]:
    """Load the observer, tell it of a change, and return what it has seen."""
    manager = load_hooks(observer, OBSERVERS)
    hook = manager.hook.batchcore_task_changed
    hook(run_id="r", task_id="a", old=None, new="queued", at=1.0, **more)
    return list(sys.modules["batchcore_frozen_v1.observer"].seen)


def test_a_hook_that_gets_an_argument_does_not_break_it(
    observer: InstalledPlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = grown(pluggy.HookspecMarker(PROJECT))
    monkeypatch.setattr(hookspecs, "batchcore_task_changed", hook)
    assert change(observer, cause="preempted") == ["a queued\n"]


def test_an_argument_that_will_go_is_warned_of_and_still_given(
    observer: InstalledPlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    going = {"task_id": DeprecationWarning("task_id goes in 0.9")}
    hook = grown(pluggy.HookspecMarker(PROJECT), warn_on_impl_args=going)
    monkeypatch.setattr(hookspecs, "batchcore_task_changed", hook)
    with pytest.warns(DeprecationWarning, match=r"task_id goes in 0\.9"):
        assert change(observer, cause="preempted") == ["a queued\n"]


def test_a_later_interface_still_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchcore.backend.API_VERSION", 2)
    assert Plugins().spec(NAME).api_version == 1


def test_a_later_interface_says_which_versions_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = importlib.import_module("batchcore_frozen_v1.plugin")
    later = replace(plugin.batchcore_register_backend(), api_version=3)
    monkeypatch.setattr(plugin, "BackendSpec", lambda **_fields: later)
    monkeypatch.setattr("batchcore.backend.API_VERSION", 2)
    with pytest.raises(PluginError) as refused:
        Plugins().spec(NAME)
    assert "version 3 of the plugin interface" in refused.value.reason
    assert "knows versions 1 to 2" in refused.value.reason
    assert refused.value.hint == "pip install --upgrade batchcore batchcore-frozen-v1"
