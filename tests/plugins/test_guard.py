"""A backend of a plugin is called through a guard that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batchcore.backend import Backend, RunContext
from batchcore.delegate import Delegate
from batchcore.errors import BackendBug
from batchcore.plan import Plan
from batchcore.plugins.guard import GuardedBackend
from batchcore.plugins.metadata import InstalledPlugin
from batchcore.testing.memory import MemoryBackend


def test_every_method_of_the_contract_is_guarded() -> None:
    methods = {name for name, value in vars(Backend).items() if callable(value)}
    public = {name for name in methods if not name.startswith("_")}
    assert public <= {*vars(Delegate), *vars(GuardedBackend)}


class Talker(MemoryBackend):
    """Explains attempts with what it was given."""

    def __init__(self, told: Any) -> None:
        super().__init__()
        self._told = told

    def explain(self, run: Any, attempts: Any) -> Any:
        return self._told


def explained(told: Any, tmp_path: Path) -> Any:
    """Return what the guard makes of an explanation."""
    plugin = InstalledPlugin(name="talker", distribution="talk", version="1", value="talk.plugin")
    run = RunContext(
        run_id="r", plan=Plan(name="p", base="/", spec_hash="", tasks=()), directory=tmp_path
    )
    return GuardedBackend(Talker(told), plugin, reraise=False).explain(run, [])


def test_an_explanation_is_passed_on(tmp_path: Path) -> None:
    told = {"": ["no machines"], "a": ("it waits",)}
    assert explained(told, tmp_path) == {"": ["no machines"], "a": ["it waits"]}


@pytest.mark.parametrize("told", [None, ["a line"], {"a": "a line"}])
def test_an_explanation_of_another_form_is_a_bug_of_the_plugin(told: Any, tmp_path: Path) -> None:
    with pytest.raises(BackendBug, match=r"talk 1 returned .* from explain"):
        explained(told, tmp_path)
