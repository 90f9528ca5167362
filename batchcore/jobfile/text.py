"""Reading text, TOML and JSON strictly; a fault names the file, and its line if it has one."""

from __future__ import annotations

import codecs
import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from batchcore.errors import JobError, Problem

_TOML_HINTS = {
    "Cannot overwrite": "this name is there already: remove one of the two",
    "Cannot declare": "this table is there already: put both into one",
    "Illegal character '\\n'": "close the quote on its own line",
    "Invalid value": "put texts in quotes",
    "Expected '=' after a key": 'write name = "value"',
}
_TOML_HINT = "texts stand in quotes, tables in [brackets], one value on a line"
_JSON_HINT = "texts and keys stand in double quotes; no comma before ] or }, and no comments"
_TOML_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)|\(at (end) of document\)")


_HUGE = "a number has thousands of digits"


class _NotJsonError(ValueError):
    """What a plain reader takes: a key that is there twice, or ``NaN``."""


def read_text(path: Path, *, code: str) -> str:
    """Return a file's text without a byte order mark.

    Raises `JobError` (permanent) with `code` where the file is missing, is no file, cannot be
    read or is not UTF-8.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise unreadable(path, exc, code=code) from exc
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        found = "UTF-16 and not UTF-8 text" if utf16 else "not UTF-8 text"
        raise failure(
            code, f"the file is {found}", hint="save it as UTF-8", file=f"{path}:{line}"
        ) from exc


def unreadable(path: Path, error: OSError, *, code: str, advice: str = "") -> JobError:
    """Return the error for a file that cannot be opened, with a near name where there is one.

    `advice` is for whoever has no such file at all.
    """
    if isinstance(error, FileNotFoundError):
        return failure(code, f"there is no file {str(path)!r}", hint=_near(path, advice))
    if isinstance(error, IsADirectoryError):
        return failure(code, f"{str(path)!r} is a directory", hint="name a file inside it")
    return failure(
        code,
        f"{str(path)!r} cannot be read: {error.strerror or error}",
        hint="check its owner and mode: ls -l",
    )


def parse_toml(text: str, path: Path) -> dict[str, Any]:
    """Return a TOML document as plain data; raises `JobError` (permanent) with line and column."""
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        match = _TOML_PLACE.search(str(exc))
        reason = _TOML_PLACE.sub("", str(exc)).strip()
        place = str(path)
        if match and match[3]:
            lines = text.split("\n")
            place = f"{path}:{len(lines)}:{len(lines[-1]) + 1}"
        elif match:
            place = f"{path}:{match[1]}:{match[2]}"
        hint = next((h for start, h in _TOML_HINTS.items() if reason.startswith(start)), _TOML_HINT)
        raise failure("BC2300", f"the TOML is not valid: {reason}", hint=hint, file=place) from exc
    except RecursionError as exc:
        raise failure("BC2300", "the TOML is nested too deeply", file=str(path)) from exc
    except ValueError as exc:
        raise failure("BC2300", _HUGE, hint="no setting needs one", file=str(path)) from exc


def parse_json(text: str, path: Path, *, line: int | None = None, code: str = "BC2300") -> Any:
    """Return a JSON text as plain data; `line` is where a text of one line stands in its file.

    Raises `JobError` (permanent) for wrong syntax, a key that is repeated, half a character
    (a lone surrogate) and numbers that JSON does not have (``NaN``, ``Infinity``).
    """
    import json

    try:
        data = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_no_constant)
        if "\\ud" in text.lower():
            json.dumps(data, ensure_ascii=False).encode()
    except json.JSONDecodeError as exc:
        place = f"{path}:{line or exc.lineno}:{exc.colno}"
        reason = f"the JSON is not valid: {exc.msg}"
        raise failure(code, reason, hint=_JSON_HINT, file=place) from exc
    except (ValueError, RecursionError) as exc:
        place = f"{path}:{line}" if line else str(path)
        raise failure(code, f"the JSON is not valid: {_json_fault(exc)}", file=place) from exc
    return data


def _json_fault(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeEncodeError):
        return f"{error.object[error.start : error.end]!r} is half a character"
    return str(error) if isinstance(error, _NotJsonError) else _HUGE


def failure(code: str, reason: str, *, hint: str = "", file: str = "", key: str = "") -> JobError:
    """Return the error for a single problem at a place in a file."""
    return JobError([Problem(code=code, reason=reason, hint=hint, file=file, key=key)])


def _near(path: Path, advice: str) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir() if not entry.is_dir()]
    except OSError:
        return f"there is no directory {str(path.parent)!r}"
    close = difflib.get_close_matches(path.name, _same_kind(names, path), n=1)
    if not close:
        close = [name for name in sorted(names) if Path(name).stem == path.stem][:1]
    if close:
        return f'did you mean "{path.with_name(close[0])}"?'
    return f"look into {str(path.parent)!r}{advice}"


def _same_kind(names: Iterable[str], path: Path) -> list[str]:
    """Put the names with the wanted suffix first, so that a tie goes to one of them."""
    return sorted(names, key=lambda name: (Path(name).suffix != path.suffix, name))


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise _NotJsonError(f"the key {repeated!r} is there twice")
    return table


def _no_constant(word: str) -> Any:
    raise _NotJsonError(f"{word} is not a number in JSON")
