"""Projects to begin with, written as files that work as they are: a job's, or a backend's.

``templates`` holds them as plain text. ``job`` is the project of a job, called ``new-job`` in it.
The project of a backend is made from ``common`` and from the part of its style. In these it is
called ``new-place``, and ``LOWEST`` stands for the version of this batchcore, the lowest that such
a project is known to work with.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from batchcore.errors import UsageError
from batchcore.plugins.metadata import FIRST_PARTY, is_backend_name
from batchcore.scaffold.project import read_templates, write_project

__all__ = ["Style", "job_files", "job_name", "project_files", "write_project"]

Style = Literal["raw", "local"]

_LONGEST = 64


def job_files(name: str) -> dict[str, str]:
    """Return the files of the project of a job, path to text.

    Raises `UsageError` for a name that cannot be that of a job and of its image.
    """
    meant = _plain(name)
    if not name or name != meant:
        raise UsageError(
            f"{name!r} is not a name for a job and its image:"
            f" use 1 to {_LONGEST} of a-z 0-9, and single hyphens between them",
            hint=f"did you mean {meant}?" if meant else "choose one such as estimate-pi",
        )
    return read_templates(["job"], {"new-job": name})


def job_name(directory: Path) -> str:
    """Return the name for a job whose project is in this directory."""
    return _plain(directory.absolute().resolve().name) or "my-job"


def project_files(name: str, style: Style) -> dict[str, str]:
    """Return the files of the project of a backend, path to text.

    Raises `UsageError` for a name that no third party may use.
    """
    _require_name(name)
    words = {
        "new-place": name,
        "new_place": name.replace("-", "_"),
        "NewPlace": "".join(word.capitalize() for word in name.split("-")),
        "LOWEST": version("batchcore").partition("+")[0],
    }
    return read_templates(["common", style], words)


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_LONGEST].rstrip("-")


def _require_name(name: str) -> None:
    distributions = {owner.distribution for owner in FIRST_PARTY.values()}
    if not is_backend_name(name):
        raise UsageError(
            f"{name!r} is not the name of a backend",
            hint="use lower-case letters, digits and single hyphens, such as my-cluster",
        )
    if name in FIRST_PARTY or f"batchcore-{name}" in distributions:
        raise UsageError(
            f"{name!r} is the name of a backend of batchcore itself",
            hint="choose another name, such as my-cluster",
        )
