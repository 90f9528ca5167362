"""Text with ``{column}`` in it: the whole grammar is a name in braces, ``{{`` and ``}}``.

There are no format specifications, no attributes and no nesting; what is filled in is never
looked at again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from batchcore.errors import Problem, suggest

ROW_NUMBER = "n"
_NAME = r"[^\W\d]\w*"
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_COLUMN = re.compile(rf"(?<!\$)\{{({_NAME})\}}")

# Literals at even places, columns at odd ones.
Parts = tuple[str, ...]


def parse(text: str, columns: Collection[str], key: str, problems: list[Problem]) -> Parts:
    """Return a template cut into literals and columns, in turn.

    An unknown column and a lone brace go into `problems`, with the columns there are.
    """
    parts = [""]
    position = 0
    for token in _TOKEN.finditer(text):
        parts[-1] += text[position : token.start()]
        position = token.end()
        name = token[1]
        if token[0] in {"{{", "}}"}:
            parts[-1] += token[0][0]
        elif name is not None and (name in columns or name == ROW_NUMBER) and _is_name(name):
            parts += [name, ""]
        else:
            problems.append(_fault(token[0], name, columns, key))
    parts[-1] += text[position:]
    return tuple(parts)


def render(parts: Parts, values: Mapping[str, str]) -> str:
    """Return the text with each column's value in its place."""
    return "".join(values[part] if index % 2 else part for index, part in enumerate(parts))


def references(text: str, columns: Iterable[str]) -> list[str]:
    """Return the columns that a text names as ``{column}``; ``${NAME}`` is the shell's."""
    known = set(columns)
    return [name for name in _COLUMN.findall(text) if name in known]


def neutral(text: str) -> str:
    """Return the template without its braces, to judge it as if it were filled in."""
    return _TOKEN.sub(lambda token: token[1] or "", text)


def _is_name(name: str) -> bool:
    return re.fullmatch(_NAME, name) is not None


def _fault(token: str, name: str | None, columns: Collection[str], key: str) -> Problem:
    if name is None or not (_is_name(name) or name in columns):
        reason = f"{token!r} is not a column"
        hint = "a column is a name in braces; write {{ and }} for braces themselves"
    elif name in columns:
        reason = f"the column {name!r} cannot be used in braces"
        hint = "rename it: letters, digits and _"
    else:
        reason = f"there is no column {name!r}"
        near = suggest(name, columns)
        hint = f"{near} " if near.startswith("did") else ""
        hint += _listed(columns)
    return Problem(code="BC2302", reason=reason, hint=hint, key=key)


def _listed(columns: Collection[str]) -> str:
    if not columns:
        return f"there are none, only {{{ROW_NUMBER}}}, the number of the row"
    shown = ", ".join(list(columns)[:8])
    return f"columns: {shown}" + (", …" if len(columns) > 8 else "")  # noqa: PLR2004 - a short line
