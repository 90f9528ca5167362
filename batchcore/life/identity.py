"""The id of a run and its directory: the same work on the same backend is the same run."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from batchcore.errors import Conflict
from batchcore.plan import Plan
from batchcore.record import read_heading


def identity_of(plan: Plan, backend: str, fingerprint: Mapping[str, str]) -> str:
    """Return the stem of a run's id: a readable part, and a hash of all that decides the results.

    ``[a-z0-9-]`` only, at most 49 characters.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", plan.name.lower())[:40].strip("-") or "job"
    identity = repr([plan.spec_hash, backend, sorted(fingerprint.items())])
    return f"{slug}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


def place_below(runs: Path, stem: str, *, fresh: bool) -> tuple[str, Path]:
    """Return the id and the directory of the latest run of this work, or of a new one.

    A new id ends in six random characters: what a run makes on its backend must not be taken for
    that of the same work in another directory, or of one that somebody has deleted.
    """
    if not fresh and (there := _latest(runs, stem)):
        return there.name, there
    run_id = _new_id(stem)
    return run_id, runs / run_id


def place_in(directory: Path, stem: str, *, fresh: bool) -> tuple[str, Path]:
    """Return the id of the run in a directory that the user chose, or refuse a different one.

    Raises `Conflict` (BC9001) where the directory holds the run of other work.
    """
    if not (directory / "job.json").exists():
        return _new_id(stem), directory
    header = read_heading(directory)
    if header.run_id.startswith(f"{stem}-") and not fresh:
        return header.run_id, directory
    raise Conflict(
        f"{directory} holds another run: {header.run_id}",
        hint="choose another directory; a run's directory is never reused",
        where=str(directory),
        code="BC9001",
    )


def _latest(runs: Path, stem: str) -> Path | None:
    made = [path.parent for path in runs.glob(f"{stem}-*/job.json")]
    return max(made, key=lambda run: (run / "job.json").stat().st_mtime_ns, default=None)


def _new_id(stem: str) -> str:
    return f"{stem}-{secrets.token_hex(3)}"
