"""The plugin is one that somebody else could have written: it uses public names alone."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import batchcore_slurm


def test_only_public_names_are_imported() -> None:
    used = {
        (node.module, alias.name)
        for path in Path(batchcore_slurm.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "batchcore"
        for alias in node.names
    }
    hidden = {
        (module, name)
        for module, name in used
        if name not in getattr(importlib.import_module(module or ""), "__all__", ())
    }
    assert used
    assert not hidden
