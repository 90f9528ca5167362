"""The options of `run`, which every controller script has too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from msgspec import Struct

from batchcore.start import Options

Function = TypeVar("Function", bound=Callable[..., Any])


class Wishes(Struct, frozen=True, kw_only=True):
    """What the command line asks for: how to run, and how to talk about it."""

    options: Options
    dry_run: bool
    quiet: bool
    verbose: bool


def json_option(function: Function) -> Function:
    """Add ``--json``; the session knows of it, also where the rest of the line is wrong."""
    return click.option(
        "--json", is_flag=True, expose_value=False, help="Print data for programs on stdout."
    )(function)


def traceback_option(function: Function) -> Function:
    """Add ``--traceback``, for those who look for a bug."""
    return click.option("--traceback", is_flag=True, expose_value=False, hidden=True)(function)


def config_options(function: Function) -> Function:
    """Add the two options that choose the configuration file."""
    return _decorated(
        function,
        [
            click.option("--config", metavar="FILE", help="Read this configuration file alone."),
            click.option("--no-config", is_flag=True, help="Read no configuration file."),
        ],
    )


def run_options(function: Function) -> Function:
    """Add all the options of `run`."""
    function = traceback_option(config_options(function))
    return _decorated(
        function,
        [
            click.option("-b", "--backend", metavar="NAME", help="Where the tasks run."),
            click.option(
                "--set", "items", metavar="KEY=VALUE", multiple=True, help="Set a backend's option."
            ),
            click.option(
                "--only", metavar="GLOB", multiple=True, help="Run these tasks and what they need."
            ),
            click.option(
                "--max-parallel", type=click.IntRange(min=1), help="Run so many tasks at once."
            ),
            click.option(
                "--fail-fast/--keep-going",
                default=None,
                help="Whether the first failure stops the rest.",
            ),
            click.option("--fresh", is_flag=True, help="Begin anew where there is a run already."),
            click.option("--dir", "directory", metavar="DIR", help="The run directory itself."),
            click.option(
                "--runs", metavar="DIR", help="Where the run directories are (default: .batchcore)."
            ),
            click.option("--dry-run", is_flag=True, help="Say what would happen; create nothing."),
            json_option,
            click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong."),
            click.option("-v", "--verbose", is_flag=True, help="Say each change of each task."),
        ],
    )


def wishes_of(given: dict[str, Any], same_command: str) -> Wishes:
    """Return the values of `run_options` in one piece."""
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
        quiet=given["quiet"],
        verbose=given["verbose"],
    )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _decorated(function: Function, options: Sequence[Callable[[Function], Function]]) -> Function:
    """Apply decorators so that the help lists them in this order."""
    for option in reversed(options):
        function = option(function)
    return function
