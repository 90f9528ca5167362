"""What the options of `run` ask for, in one piece."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct

from batchcore.errors import UsageError
from batchcore.life.start import Options

_WITH_A_NAME = {
    "backend": "--backend",
    "directory": "--dir",
    "runs": "--runs",
    "config": "--config",
}


class Wishes(Struct, frozen=True, kw_only=True):
    """How to run, and how to talk about it."""

    options: Options
    dry_run: bool
    detach: bool
    quiet: bool
    verbose: bool


def wishes_of(given: dict[str, Any], same_command: str) -> Wishes:
    """Return the values of `run_options`; `same_command` is the line that goes on.

    Raises `UsageError` for an option with nothing in it, as an unset variable of a shell leaves.
    """
    for name, option in _WITH_A_NAME.items():
        if given[name] == "":
            raise UsageError(f"{option} is empty", hint=f"name something, or leave {option} out")
    options = Options(
        backend=given["backend"] or "",
        directory=_path(given["directory"]),
        runs=given["runs"],
        items=given["items"],
        max_parallel=given["max_parallel"],
        fail_fast=given["fail_fast"],
        only=given["only"],
        fresh=given["fresh"],
        config=_path(given["config"]),
        no_config=given["no_config"],
        same_command=same_command,
    )
    return Wishes(
        options=options,
        dry_run=given["dry_run"],
        detach=given["detach"],
        quiet=given["quiet"],
        verbose=given["verbose"],
    )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
