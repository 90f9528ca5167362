"""Elements of HTML and SVG; a text becomes part of one only escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable

from batchcore.report.text import printable

_EMPTY = frozenset({"meta", "link", "rect", "line"})
Value = str | float | bool | None


class Html(str):
    """Markup that is safe as it stands; only this module and the page's own files make it."""

    __slots__ = ()


Child = str | None


def element(name: str, /, *children: Child, **attributes: Value) -> Html:
    """Return an element; what is not `Html` is text and gets escaped.

    A name of an attribute may end in ``_``, and its other underscores are hyphens. One that is
    None or False is left out, and one that is True has no value.
    """
    head = f"<{name}{''.join(_attribute(*item) for item in attributes.items())}>"
    if name in _EMPTY and not children:
        return Html(f"{head[:-1]}/>")
    return Html(f"{head}{joined(children)}</{name}>")


def joined(children: Iterable[Child]) -> Html:
    """Return one piece of several; None is nothing."""
    return Html(
        "".join(child if isinstance(child, Html) else _escaped(child) for child in children)
    )


def number(value: float) -> str:
    """Return a coordinate, short."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _attribute(name: str, value: Value) -> str:
    if value is None or value is False:
        return ""
    key = name.rstrip("_").replace("_", "-")
    if value is True:
        return f" {key}"
    text = number(value) if isinstance(value, float) else _escaped(str(value))
    return f' {key}="{text}"'


def _escaped(text: str | None) -> str:
    """Escape what acts in markup, and show what acts on people: control and bidi characters."""
    return html.escape(printable(text or "", keep="\n\t"))
