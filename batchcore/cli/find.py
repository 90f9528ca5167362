"""Finding a run by its id, the start of its id, or its directory."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from batchcore.cli.completion import directories
from batchcore.errors import NotFound, suggest
from batchcore.plugins import Plugins
from batchcore.run import Run
from batchcore.settings import resolve

Function = TypeVar("Function", bound=Callable[..., Any])


def run_option(function: Function) -> Function:
    """Add the option that says where runs are looked for."""
    return click.option(
        "--runs",
        metavar="DIR",
        help="Where the run directories are (default: .batchcore).",
        shell_complete=directories,
    )(function)


def runs_directory(runs: str | None = None) -> Path:
    """Return the directory of the run directories, as the settings have it."""
    # Any backend that is always there will do: the chosen one may not be installed here.
    settings = resolve(Plugins(), flags={"backend": "local-process", "runs": runs})
    return Path(settings.core.runs).absolute()


def run_directories(runs: Path) -> list[Path]:
    """Return the run directories below a directory, the newest first."""
    headers = sorted(runs.glob("*/job.json"), key=_mtime, reverse=True)
    return [header.parent for header in headers]


def find_run(name: str, runs: str | None = None) -> Run:
    """Return the run with this id, or the only one whose id starts so, or in this directory.

    Raises `NotFound` with the nearest id.
    """
    if os.sep in name or name in (".", ".."):
        return Run.load(name)
    place = runs_directory(runs)
    ids = [directory.name for directory in run_directories(place)]
    found = [name] if name in ids else [one for one in ids if name and one.startswith(name)]
    if len(found) == 1:
        return Run.load(place / found[0])
    if (Path(name) / "job.json").exists():
        return Run.load(name)
    if found:
        raise NotFound(
            f"{name!r} is the start of {len(found)} runs", hint=f"say more: {', '.join(found[:5])}"
        )
    raise NotFound(
        f"there is no run {name!r} in {place}",
        hint=suggest(name, ids) if ids else "give the path of a run directory",
    )


def typed_name(run: Run, name: str, runs: str | None) -> str:
    """Return what to type in the next command for a run that was found by these words."""
    return shlex.quote(str(run.directory) if runs else name)


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # it was deleted just now
        return 0.0
