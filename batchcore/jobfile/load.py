"""The one door to a job in a file, whatever its kind."""

from __future__ import annotations

import stat
from pathlib import Path

from msgspec import Struct

from batchcore.errors import JobError
from batchcore.jobfile.controller import read_controller
from batchcore.jobfile.declarative import read_job
from batchcore.jobfile.text import failure, unreadable
from batchcore.model import Job

SUFFIXES = (".py", ".toml", ".json")
_NEW = ", or begin with a new one: batchcore init"


class LoadedJob(Struct, frozen=True):
    """A job, the absolute directory that its relative sources start from, and its file."""

    job: Job
    base: Path
    path: Path


def load_job(path: Path) -> LoadedJob:
    """Return the job in a file: a controller (``.py``), or its description in TOML or JSON.

    Relative sources start at the directory of a TOML or JSON file, and at the current directory
    for a controller. Reads that file and its table of tasks; a controller's code runs, see
    `batchcore.jobfile.controller.read_controller`.

    Raises `JobError` (permanent) with every problem found: BC2300 for a file that is missing, is
    of another kind or cannot be read, and the code of each problem with the job itself.
    """
    try:
        mode = path.stat().st_mode
    except OSError as exc:
        raise unreadable(path, exc, code="BC2300", advice=_NEW) from exc
    if stat.S_ISDIR(mode):
        raise _directory(path)
    suffix = path.suffix.lower()
    if suffix == ".py":
        return LoadedJob(read_controller(path), Path.cwd(), path)
    if suffix in SUFFIXES:
        return LoadedJob(read_job(path), path.absolute().parent, path)
    raise failure(
        "BC2300",
        f"{str(path)!r} is not a job file",
        hint=f"give a {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file",
        file=str(path),
    )


def _directory(path: Path) -> JobError:
    try:
        inside = sorted(entry for entry in path.iterdir() if entry.suffix in SUFFIXES)
    except OSError:
        inside = []
    named = [entry for entry in inside if entry.stem in {"job", "controller"}] or inside
    hint = f'did you mean "{named[0]}"?' if named else "name a .py, .toml or .json file"
    return failure("BC2300", f"{str(path)!r} is a directory", hint=hint)
