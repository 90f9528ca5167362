"""What the options of `run` ask for, in one piece."""

from __future__ import annotations

from collections.abc import Mapping
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

    Raises `UsageError` for options that contradict each other, or have nothing in them.
    """
    refuse_empty(given)
    if given["detach"] and given.get("on_interrupt"):
        raise UsageError(
            "--detach and --on-interrupt contradict each other: there is nothing to interrupt",
            hint="keep one of them",
        )
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
        on_interrupt=given.get("on_interrupt"),
        same_command=same_command,
    )
    return Wishes(
        options=options,
        dry_run=given["dry_run"],
        detach=given["detach"],
        quiet=given["quiet"],
        verbose=given["verbose"],
    )


def refuse_empty(given: Mapping[str, Any]) -> None:
    """Raise `UsageError` for an option with nothing in it, as an unset variable leaves one."""
    for name, option in _WITH_A_NAME.items():
        if given.get(name) == "":
            raise UsageError(f"{option} is empty", hint=f"name something, or leave {option} out")


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
