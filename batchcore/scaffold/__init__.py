"""The project of a third-party backend, written as files that work as they are.

``templates`` holds them as plain text, a directory for each style beside what both have in
common. In them the backend is called ``new-place``, and ``LOWEST`` stands for the version of this
batchcore, the lowest that such a project is known to work with.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Literal

from batchcore.errors import UsageError
from batchcore.plugins.metadata import FIRST_PARTY, is_backend_name

Style = Literal["raw", "local"]

_SUFFIX = ".tmpl"


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
    found = {}
    for part in ("common", style):
        root = Path(str(files("batchcore"))) / "scaffold" / "templates" / part
        for path in sorted(root.rglob(f"*{_SUFFIX}")):
            relative = path.relative_to(root).as_posix().removesuffix(_SUFFIX)
            found[_named(relative, words)] = _named(path.read_text(encoding="utf-8"), words)
    return dict(sorted(found.items()))


def write_project(directory: Path, texts: Mapping[str, str]) -> None:
    """Write a project into a directory that is not there yet, or empty.

    A new directory appears whole or not at all. An empty one gets the files one after the other,
    and after an error none; only a kill in between leaves some of them.

    Raises `UsageError` where there is something already, and where nothing can be written.
    """
    _require_room(directory)
    try:
        _write(directory, texts)
    except OSError as exc:
        raise UsageError(
            f"{directory} cannot be written: {exc.strerror or exc}",
            hint="choose another directory: --dir PATH",
            where=str(directory),
        ) from exc


def _write(directory: Path, texts: Mapping[str, str]) -> None:
    there = directory.exists()
    near = directory if there else directory.parent
    with tempfile.TemporaryDirectory(prefix=".bc-", dir=near) as temporary:
        new = Path(temporary) / "project"
        for name, text in texts.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_text(text, encoding="utf-8")
        if there:
            # It may be somebody's current directory, which a rename would take from under them.
            with ExitStack() as moved_back:
                for path in list(new.iterdir()):
                    moved = path.rename(directory / path.name)
                    moved_back.callback(moved.rename, path)
                moved_back.pop_all()
        else:
            new.rename(directory)


def _named(text: str, words: Mapping[str, str]) -> str:
    for old, new in words.items():
        text = text.replace(old, new)
    return text


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


def _require_room(directory: Path) -> None:
    try:
        if not directory.parent.is_dir():
            problem = f"there is no directory {directory.parent}"
        elif directory.is_dir() and any(directory.iterdir()):
            problem = f"{directory} is not empty"
        elif directory.exists() and not directory.is_dir():
            problem = f"{directory} is not a directory"
        else:
            return
    except OSError as exc:
        problem = f"{directory} cannot be read: {exc.strerror or exc}"
    raise UsageError(problem, hint="choose another directory: --dir PATH", where=str(directory))
