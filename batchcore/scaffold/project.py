"""Writing a project: texts made from templates, put where nothing is yet."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path

from batchcore.errors import UsageError

_SUFFIX = ".tmpl"
_HINT = "choose another DIRECTORY, a new or an empty one"


def read_templates(parts: Iterable[str], words: Mapping[str, str]) -> dict[str, str]:
    """Return the files of these parts of ``templates``, path to text, with words replaced."""
    found = {}
    for part in parts:
        root = Path(str(files("batchcore"))) / "scaffold" / "templates" / part
        for path in sorted(root.rglob(f"*{_SUFFIX}")):
            relative = path.relative_to(root).as_posix().removesuffix(_SUFFIX)
            found[_named(relative, words)] = _named(path.read_text(encoding="utf-8"), words)
    return dict(sorted(found.items()))


def write_project(directory: Path, texts: Mapping[str, str]) -> None:
    """Write a project into a directory that is not there yet, or empty.

    What a directory hides, such as ``.git`` or ``.venv``, does not count, unless the project has
    a file of the same name. A new directory appears whole or not at all. An empty one gets the
    files one after the other, and after an error none; only a kill in between leaves some of them.

    Raises `UsageError` where there is something already, and where nothing can be written.
    """
    _require_room(directory, texts)
    try:
        _write(directory, texts)
    except OSError as exc:
        raise UsageError(
            f"{directory} cannot be written: {exc.strerror or exc}",
            hint=_HINT,
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


def _require_room(directory: Path, texts: Mapping[str, str]) -> None:
    wanted = {name.partition("/")[0] for name in texts}
    try:
        if not directory.parent.is_dir():
            problem = f"there is no directory {directory.parent}"
        elif directory.is_dir() and any(_is_in_the_way(p, wanted) for p in directory.iterdir()):
            problem = f"{directory} is not empty"
        elif directory.exists() and not directory.is_dir():
            problem = f"{directory} is not a directory"
        else:
            return
    except OSError as exc:
        problem = f"{directory} cannot be read: {exc.strerror or exc}"
    raise UsageError(problem, hint=_HINT, where=str(directory))


def _is_in_the_way(path: Path, wanted: set[str]) -> bool:
    return path.name in wanted or not path.name.startswith(".")
