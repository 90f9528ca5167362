"""Pieces of text for people: safe to show on a terminal, aligned, short."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from msgspec import Struct

# Control characters, and those that turn, hide or break text, could forge what a terminal shows.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_GAP = "  "


class Marks(Struct, frozen=True, kw_only=True):
    """The signs that start or separate parts of a line."""

    good: str
    bad: str
    dot: str
    more: str
    full: str
    empty: str


UNICODE = Marks(good="✓", bad="✗", dot="·", more="…", full="█", empty="░")
ASCII = Marks(good="ok", bad="x", dot="-", more="...", full="#", empty=".")


def printable(text: str, keep: str = "") -> str:
    """Return a text in which no character but those of `keep` can act on a terminal."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep or not _unsafe(c) else _escaped(c) for c in text)


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 task``, ``1,200 tasks``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def ago(seconds: float) -> str:
    """Return how long ago something was, roughly: ``3 min ago``."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Return rows in aligned columns below their heads, the lines cut at `width` characters."""
    safe = [heads, *([printable(cell) for cell in row] for row in rows)]
    sizes = [max(len(row[column]) for row in safe) for column in range(len(heads))]
    lines = (
        _GAP.join(cell.ljust(size) for cell, size in zip(row, sizes, strict=True)).rstrip()
        for row in safe
    )
    return "\n".join(line if width is None else cut(line, width) for line in lines)


def cut(text: str, width: int) -> str:
    """Return a text of at most `width` characters, with a sign where something is missing."""
    return text if len(text) <= width else text[: max(width - 2, 0)] + ".."


def _unsafe(character: str) -> bool:
    return unicodedata.category(character) in _UNSAFE


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
