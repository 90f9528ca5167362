"""Where each key of a TOML document stands, so that a problem can name its line."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\\\n]*"|'[^'\n]*')"""
_KEY = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_ARRAY = re.compile(rf"\[\[[ \t]*({_KEY})[ \t]*\]\]")
_TABLE = re.compile(rf"\[[ \t]*({_KEY})[ \t]*\]")
_ASSIGNMENT = re.compile(rf"({_KEY})[ \t]*=")
_TOKEN = re.compile(
    r'''
    (?P<skip> \#[^\n]* | """(?:\\.|[^\\])*?"""{1,3} | \'\'\'.*?\'\'\'{1,3}
      | "(?:\\.|[^"\\\n])*" | '[^'\n]*' )
    | (?P<open> [\[{] ) | (?P<close> [\]}] ) | (?P<end> \n )
    ''',
    re.VERBOSE | re.DOTALL,
)


def key_lines(text: str) -> dict[str, int]:
    """Return the line, from 1, of each key of a TOML document that is known to be valid.

    Keys look like those of a `Problem`: ``tasks[3].outputs``. Keys inside inline tables and arrays
    have no line of their own, nor have keys with an escape in their name.
    """
    lines: dict[str, int] = {}
    counts: defaultdict[str, int] = defaultdict(int)
    table = ""
    for number, statement in _statements(text):
        if match := _ARRAY.match(statement):
            parent, name = _split_last(match[1], counts)
            full = f"{parent}.{name}".lstrip(".")
            table = f"{full}[{counts[full]}]"
            counts[full] += 1
            lines.setdefault(full, number)
            lines[table] = number
        elif match := _TABLE.match(statement):
            parent, name = _split_last(match[1], counts)
            table = f"{parent}.{name}".lstrip(".")
            lines.setdefault(table, number)
        elif match := _ASSIGNMENT.match(statement):
            key = table
            for part in _parts(match[1]):
                key = f"{key}.{part}".lstrip(".")
                lines.setdefault(key, number)
    return lines


def line_of(key: str, lines: dict[str, int]) -> int | None:
    """Return the line of a key, or of the nearest one around it."""
    while key and key not in lines:
        key = key[: max(key.rfind("."), key.rfind("["), 0)]
    return lines.get(key)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield each statement of the document with the line where it starts."""
    start, depth = 0, 0
    line = first = 1
    for token in _TOKEN.finditer(text + "\n"):
        kind = token.lastgroup
        depth += (kind == "open") - (kind == "close")
        line += token[0].count("\n")
        if kind == "end" and depth == 0:
            if statement := text[start : token.start()].strip():
                yield first, statement
            start, first = token.end(), line


def _split_last(key: str, counts: defaultdict[str, int]) -> tuple[str, str]:
    """Return a header's parent, with the index of the current item of each array, and its name."""
    *parents, name = _parts(key)
    path = ""
    for part in parents:
        path = f"{path}.{part}".lstrip(".")
        if counts.get(path):
            path = f"{path}[{counts[path] - 1}]"
    return path, name


def _parts(key: str) -> list[str]:
    return [part.strip("\"'") for part in re.findall(_PART, key)]
