"""Finding and reading configuration files: the settings' only input and output."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from batchcore.errors import SettingsError

PROJECT_FILE = "batchcore.toml"
PYPROJECT = "pyproject.toml"
USER_FILE = "config.toml"
VARIABLE = "BATCHCORE_CONFIG"
_DEEPEST = 32


class ConfigFile(Struct, frozen=True):
    """A configuration file that was read.

    `label` names it in messages. `data` is its settings, of a ``pyproject.toml`` the table
    ``tool.batchcore``. Relative paths in it start at `base`; None means the current directory.
    """

    label: str
    data: Mapping[str, Any]
    base: Path | None = None


def read_config_files(
    *,
    cwd: Path,
    config_dir: Path,
    environ: Mapping[str, str],
    config: str | Path | None = None,
    no_config: bool = False,
) -> Sequence[ConfigFile]:
    """Return the configuration files that apply, the weakest first: the user's, the project's.

    The project's is the nearest ``batchcore.toml``, or ``pyproject.toml`` with a table
    ``tool.batchcore``, in `cwd` or above. `config`, or else the variable ``BATCHCORE_CONFIG``,
    replaces both; `no_config` ignores all three. Raises `SettingsError` for a file that cannot be
    read, or that was asked for and does not exist.
    """
    if no_config:
        if config is not None:
            raise SettingsError(
                "--config and --no-config contradict each other", hint="keep one of them"
            )
        return ()
    if named := config or environ.get(VARIABLE):
        origin = "--config" if config else f"environment {VARIABLE}"
        return (_named_file(cwd / Path(named).expanduser(), cwd, origin),)
    found = []
    user = config_dir / USER_FILE
    if (data := _read(user, _label(user, cwd))) is not None:
        found.append(ConfigFile(_label(user, cwd), data))
    if project := _project_file(cwd):
        found.append(project)
    return found


def _named_file(path: Path, cwd: Path, origin: str) -> ConfigFile:
    label = _label(path, cwd)
    data = _read(path, label)
    if data is None:
        raise SettingsError(
            f"there is no file {label}", hint="give the path of a TOML file", where=origin
        )
    if path.name == PYPROJECT:
        data = _tool_table(data, label) or {}
    return ConfigFile(label, data, path.parent)


def _project_file(cwd: Path) -> ConfigFile | None:
    for directory in (cwd, *cwd.parents):
        path = directory / PROJECT_FILE
        data = _read(path, _label(path, cwd))
        if data is None:
            path = directory / PYPROJECT
            whole = _read(path, _label(path, cwd))
            data = None if whole is None else _tool_table(whole, _label(path, cwd))
        if data is not None:
            return ConfigFile(_label(path, cwd), data, directory)
    return None


def _tool_table(data: Mapping[str, Any], label: str) -> Mapping[str, Any] | None:
    tool = data.get("tool")
    table = tool.get("batchcore") if isinstance(tool, Mapping) else None
    if table is not None and not isinstance(table, Mapping):
        raise SettingsError(
            "tool.batchcore is not a table", hint="write [tool.batchcore]", where=label
        )
    return table


def _read(path: Path, label: str) -> Mapping[str, Any] | None:
    """Return a TOML file's data, None where there is no file."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise SettingsError(
            f"{label} cannot be read: {exc.strerror}",
            hint="make it a readable file, or use --no-config",
            where=label,
        ) from exc
    except UnicodeDecodeError as exc:
        raise SettingsError(
            f"{label} is not a UTF-8 text", hint="save it as UTF-8", where=label
        ) from exc
    try:
        return _shallow(tomllib.loads(text))
    except (ValueError, RecursionError) as exc:
        if path.name == PYPROJECT and "tool.batchcore" not in text:
            return None
        raise SettingsError(
            f"{label} is not valid TOML: {exc}", hint=_toml_hint(exc), where=label
        ) from exc


def _shallow(data: dict[str, Any]) -> dict[str, Any]:
    """Refuse tables within tables without end, which dotted keys can write."""
    level: list[object] = [data]
    for _ in range(_DEEPEST):
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
    if level:
        raise ValueError("it is nested too deeply")
    return data


def _toml_hint(exc: Exception) -> str:
    if "overwrite" in str(exc):
        # The likeliest way to this: `backend = "azure"` above a table `[backend.azure]`.
        return 'beside [backend.NAME] write the choice as: [backend] default = "NAME"'
    return "texts stand in quotes, tables in [brackets]"


def _label(path: Path, cwd: Path) -> str:
    return str(path.relative_to(cwd)) if path.is_relative_to(cwd) else str(path)
