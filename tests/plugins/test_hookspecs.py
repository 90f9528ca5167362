"""The hooks are documented by example, and cheap to import."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from batchcore import hookspecs

HOOKS = [name for name in vars(hookspecs) if name.startswith("batchcore_")]


def test_there_are_five_hooks() -> None:
    assert sorted(HOOKS) == [
        "batchcore_observe_run",
        "batchcore_register_backend",
        "batchcore_run_finished",
        "batchcore_task_changed",
        "batchcore_validate_job",
    ]


@pytest.mark.parametrize("name", HOOKS)
def test_each_hook_shows_a_worked_example(name: str) -> None:
    text = inspect.getdoc(getattr(hookspecs, name)) or ""
    assert "@hookimpl" in text
    assert f"def {name}(" in text


def test_the_hooks_import_neither_the_model_nor_msgspec() -> None:
    code = "import sys, batchcore.hookspecs; print(*sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"msgspec", "fsspec", "batchcore.model", "batchcore.backend"} & set(printed)
