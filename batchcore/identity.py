"""The id of a run and its directory: the same work on the same backend is the same run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from batchcore.errors import Conflict
from batchcore.plan import Plan
from batchcore.record import read_header


def identity_of(plan: Plan, backend: str, fingerprint: Mapping[str, str]) -> str:
    """Return the stem of a run's id: a readable part, and a hash of all that decides the results.

    ``[a-z0-9-]`` only, at most 49 characters.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", plan.name.lower())[:40].strip("-") or "job"
    identity = repr([plan.spec_hash, backend, sorted(fingerprint.items())])
    return f"{slug}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


def place_below(runs: Path, stem: str, *, fresh: bool) -> tuple[str, Path]:
    """Return the id and the directory of the latest run of this work, or of the next one."""
    number = 1
    while (runs / _numbered(stem, number + 1) / "job.json").exists():
        number += 1
    if fresh and (runs / _numbered(stem, number) / "job.json").exists():
        number += 1
    run_id = _numbered(stem, number)
    return run_id, runs / run_id


def place_in(directory: Path, stem: str, *, fresh: bool) -> tuple[str, Path]:
    """Return the id of the run in a directory that the user chose, or refuse a different one.

    Raises `Conflict` (BC9001) where the directory holds the run of other work.
    """
    if not (directory / "job.json").exists():
        return stem, directory
    header = read_header(directory)
    if re.fullmatch(rf"{re.escape(stem)}(-\d+)?", header.run_id) and not fresh:
        return header.run_id, directory
    raise Conflict(
        f"{directory} holds another run: {header.run_id}",
        hint="choose another directory; a run's directory is never reused",
        where=str(directory),
        code="BC9001",
    )


def _numbered(stem: str, number: int) -> str:
    return stem if number == 1 else f"{stem}-{number}"
