"""The part of OData's `$filter` that lists of the service take.

Comparisons of a property with a value, `startswith`, `and`, `or` and brackets. Names of properties
are case-sensitive, text and enumerations are not ("Create queries to list Batch resources
efficiently").
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any

from batchcore_azure.emulator.records import Body, Refusal

Test = Callable[[Body], bool]

_TOKEN = re.compile(
    r"\s*(?:(?P<time>datetime'[^']*')|(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)"
    r"|(?P<word>[A-Za-z_][\w/]*)|(?P<mark>[(),]))",
    re.IGNORECASE,
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
_CONSTANTS = {"true": True, "false": False, "null": None}


def compiled(text: str, names: Collection[str]) -> Test:
    """Return the test that a filter stands for.

    `names` are the properties that may be asked for, without what is below them. Raises `Refusal`
    400 InvalidQueryParameterValue for anything else.
    """
    return _Parser(text, names).whole()


class _Parser:
    """Reads one filter from left to right."""

    def __init__(self, text: str, names: Collection[str]) -> None:
        self._text = text
        self._names = names
        self._tokens = self._split()

    def whole(self) -> Test:
        found = self._either()
        if self._tokens:
            raise self._refused(f"{self._tokens[0][1]!r} is left over")
        return found

    def _split(self) -> list[tuple[str, str]]:
        tokens, place = [], 0
        end = len(self._text.rstrip())
        while place < end:
            found = _TOKEN.match(self._text, place)
            if found is None or found.lastgroup is None:
                raise self._refused(f"position {place} cannot be read")
            tokens.append((found.lastgroup, found[found.lastgroup]))
            place = found.end()
        return tokens

    def _either(self) -> Test:
        tests = [self._all()]
        while self._next_is("or"):
            tests.append(self._all())
        return lambda body: any(test(body) for test in tests)

    def _all(self) -> Test:
        tests = [self._one()]
        while self._next_is("and"):
            tests.append(self._one())
        return lambda body: all(test(body) for test in tests)

    def _one(self) -> Test:
        if self._next_is("("):
            inner = self._either()
            self._take(")")
            return inner
        if self._next_is("startswith"):
            self._take("(")
            name = self._property()
            self._take(",")
            start = str(self._value()).lower()
            self._take(")")
            return lambda body: str(_look_up(body, name) or "").lower().startswith(start)
        name = self._property()
        compare = _COMPARE.get(self._take("word"))
        if compare is None:
            raise self._refused("a comparison was expected: eq, ne, gt, ge, lt or le")
        value = self._value()
        return lambda body: _compared(_look_up(body, name), compare, value)

    def _property(self) -> list[str]:
        name = self._take("word")
        if name.split("/")[0] not in self._names:
            raise self._refused(f"there is no property {name!r} to filter by")
        return name.split("/")

    def _value(self) -> Any:
        kind, text = self._pop()
        if kind == "time":
            return self._time(text[len("datetime'") : -1])
        if kind == "text":
            return text[1:-1].replace("''", "'").lower()
        if kind == "number":
            return float(text)
        if kind == "word" and text.lower() in _CONSTANTS:
            return _CONSTANTS[text.lower()]
        raise self._refused(f"{text!r} is no value")

    def _time(self, text: str) -> datetime:
        try:
            return _moment(text)
        except ValueError:
            raise self._refused(f"{text!r} is no time") from None

    def _pop(self) -> tuple[str, str]:
        if not self._tokens:
            raise self._refused("it ends too early")
        return self._tokens.pop(0)

    def _take(self, wanted: str) -> str:
        kind, text = self._pop()
        if wanted not in {kind, text}:
            raise self._refused(f"{text!r} stands where {wanted!r} was expected")
        return text

    def _next_is(self, word: str) -> bool:
        there = bool(self._tokens) and self._tokens[0][1] == word
        if there:
            self._tokens.pop(0)
        return there

    def _refused(self, why: str) -> Refusal:
        return Refusal(
            400,
            "InvalidQueryParameterValue",
            "Value for one of the query parameters specified in the request URI is invalid.",
            QueryParameterName="$filter",
            QueryParameterValue=self._text,
            Reason=why,
        )


def _look_up(body: Body, path: list[str]) -> Any:
    value: Any = body
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _compared(value: Any, compare: Callable[[Any, Any], bool], wanted: Any) -> bool:
    """Compare what a body holds; what is not there, or of another kind, is only unequal."""
    if isinstance(value, str):
        value = _as_time(value) if isinstance(wanted, datetime) else value.lower()
    if value is None or _kind(value) is not _kind(wanted):
        return compare is (operator.eq if value is wanted else operator.ne)
    return compare(value, wanted)


def _kind(value: Any) -> type:
    return float if isinstance(value, int | float) else type(value)


def _as_time(text: str) -> datetime | None:
    try:
        return _moment(text)
    except ValueError:
        return None


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
