"""The options of `run`, which every controller script has too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from batchcore.cli.completion import backend_names, directories, files

Function = TypeVar("Function", bound=Callable[..., Any])


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
            click.option(
                "--config",
                metavar="FILE",
                help="Read this configuration file alone.",
                shell_complete=files,
            ),
            click.option("--no-config", is_flag=True, help="Read no configuration file."),
        ],
    )


def run_options(function: Function) -> Function:
    """Add all the options of `run`."""
    detach = click.option(
        "-d", "--detach", is_flag=True, help="Submit, print the run's id, and leave."
    )
    on_interrupt = click.option(
        "--on-interrupt",
        type=click.Choice(["detach", "cancel"]),
        help="What Ctrl-C does: the run goes on, or its tasks stop.",
    )
    return submit_options(detach(on_interrupt(function)))


def submit_options(function: Function) -> Function:
    """Add the options of `run` that `submit` has too."""
    function = traceback_option(config_options(function))
    return _decorated(
        function,
        [
            click.option(
                "-b",
                "--backend",
                metavar="NAME",
                help="Where the tasks run.",
                shell_complete=backend_names,
            ),
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
            click.option(
                "--dir",
                "directory",
                metavar="DIR",
                help="The run directory itself.",
                shell_complete=directories,
            ),
            click.option(
                "--runs",
                metavar="DIR",
                help="Where the run directories are (default: .batchcore).",
                shell_complete=directories,
            ),
            click.option("--dry-run", is_flag=True, help="Say what would happen; create nothing."),
            json_option,
            click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong."),
            click.option("-v", "--verbose", is_flag=True, help="Say each change of each task."),
        ],
    )


def _decorated(function: Function, options: Sequence[Callable[[Function], Function]]) -> Function:
    """Apply decorators so that the help lists them in this order."""
    for option in reversed(options):
        function = option(function)
    return function
