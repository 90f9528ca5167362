"""Evaluates autoscale formulas: the part of the language that is enough for scaling by tasks.

After "Create a formula to automatically scale compute nodes" (Microsoft Learn): assignments,
numbers, `?:`, comparisons, arithmetic, some functions, and samples of `$PendingTasks` and the
like. What is not known here is an error that names it, never a guess. A metric has had the value
that it has now for all of its history.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(?://[^\n]*|/\*.*?\*/)\s*)*"
    r"(?:(\d+\.?\d*|\.\d+)|(\$?[A-Za-z_]\w*)|(\|\||&&|[<>=!]=|[-+*/<>=!?:;,.()]))?",
    re.DOTALL,
)
_CONSTANTS: dict[str, Any] = {
    "TimeInterval_Second": 1.0,
    "TimeInterval_Minute": 60.0,
    "TimeInterval_Hour": 3600.0,
    "TimeInterval_Day": 86400.0,
    **{name: name for name in ("requeue", "terminate", "taskcompletion", "retaineddata")},
}
_BINARY: tuple[dict[str, Callable[[Any, Any], Any]], ...] = (
    {"||": lambda a, b: float(bool(a) or bool(b))},
    {"&&": lambda a, b: float(bool(a) and bool(b))},
    {"==": operator.eq, "!=": operator.ne},
    {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge},
    {"+": operator.add, "-": operator.sub},
    {"*": operator.mul, "/": operator.truediv},
)
_TARGETS = ("$TargetDedicatedNodes", "$TargetLowPriorityNodes")
_OPTIONS = ("$NodeDeallocationOption",)
_LONGEST, _MOST_STATEMENTS = 8192, 100


class FormulaError(ValueError):
    """A formula that cannot be evaluated, with the service's code."""

    code = "AutoScalingFormulaEvaluationError"


def evaluate(formula: str, metrics: Mapping[str, float]) -> dict[str, str]:
    """Return what a formula sets of the pool's targets; raises `FormulaError`.

    A number of nodes is cut to a whole one. `metrics` are the values of the service's variables,
    as ``$PendingTasks``.
    """
    if len(formula.encode()) > _LONGEST:
        raise FormulaError("the formula is longer than 8 KB")
    try:
        names = _Parser(formula, metrics).run()
        found = {name: str(int(names[name])) for name in _TARGETS if name in names}
    except FormulaError:
        raise
    except RecursionError:
        raise FormulaError("the formula is nested too deep") from None
    except (ArithmeticError, TypeError, ValueError) as error:
        raise FormulaError(f"the formula cannot be evaluated: {error}") from error
    if not found:
        raise FormulaError("the formula sets neither of the targets")
    return found | {name: str(names[name]) for name in _OPTIONS if name in names}


class _Parser:
    """Reads and evaluates in one go; the language has no loops."""

    def __init__(self, formula: str, metrics: Mapping[str, float]) -> None:
        self._tokens = list(_tokens(formula))
        self._metrics = metrics
        self._names: dict[str, Any] = {}

    def run(self) -> dict[str, Any]:
        statements = 0
        while self._tokens:
            if self._take(";"):
                continue
            statements += 1
            if statements > _MOST_STATEMENTS:
                raise FormulaError("the formula has over 100 statements")
            name = self._next()
            self._need("=")
            self._names[name] = self._expression()
            if self._tokens:
                self._need(";")
        return self._names

    def _expression(self) -> Any:
        value = self._binary(0)
        if self._take("?"):
            chosen = self._expression()
            self._need(":")
            other = self._expression()
            value = chosen if value else other
        return value

    def _binary(self, level: int) -> Any:
        if level == len(_BINARY):
            return self._unary()
        value = self._binary(level + 1)
        while self._tokens and self._tokens[0] in _BINARY[level]:
            function = _BINARY[level][self._next()]
            value = function(value, self._binary(level + 1))
        return value

    def _unary(self) -> Any:
        if self._take("-"):
            return -self._unary()
        if self._take("!"):
            return float(not self._unary())
        return self._value()

    def _value(self) -> Any:
        token = self._next()
        if token == "(":  # noqa: S105 - a bracket
            value = self._expression()
            self._need(")")
            return value
        if token[0].isdigit() or token[0] == ".":
            return float(token)
        if token in _FUNCTIONS:
            return _FUNCTIONS[token](*_flat(self._arguments()))
        if token in self._metrics:
            return self._samples(token)
        if token in self._names:
            return self._names[token]
        if token in _CONSTANTS:
            return _CONSTANTS[token]
        raise FormulaError(f"the emulator does not know {token!r}")

    def _samples(self, metric: str) -> Any:
        """Return samples of a metric, all of its present value, or the share of them there is."""
        value = float(self._metrics[metric])
        if not self._take("."):
            return value
        method = self._next()
        self._arguments()
        if method == "GetSamplePercent":
            return 100.0
        if method == "GetSample":
            return [value]
        raise FormulaError(f"the emulator does not know {metric}.{method}")

    def _arguments(self) -> list[Any]:
        self._need("(")
        found: list[Any] = []
        while not self._take(")"):
            if found:
                self._need(",")
            found.append(self._expression())
        return found

    def _next(self) -> str:
        if not self._tokens:
            raise FormulaError("the formula ends too early")
        return self._tokens.pop(0)

    def _take(self, token: str) -> bool:
        if self._tokens[:1] != [token]:
            return False
        self._tokens.pop(0)
        return True

    def _need(self, token: str) -> None:
        if not self._take(token):
            found = self._tokens[0] if self._tokens else "the end"
            raise FormulaError(f"{token!r} is missing before {found!r}")


def _tokens(formula: str) -> Iterable[str]:
    position = 0
    while position < len(formula):
        found = _TOKEN.match(formula, position)
        if found is None or found.end() == position:
            raise FormulaError(f"the emulator cannot read {formula[position : position + 20]!r}")
        position = found.end()
        token = found[1] or found[2] or found[3]
        if token:
            yield token


def _flat(values: Iterable[Any]) -> list[float]:
    """Return the numbers of single values and of lists of samples."""
    return [n for value in values for n in (value if isinstance(value, list) else [value])]


_FUNCTIONS: dict[str, Callable[..., float]] = {
    "max": lambda *numbers: max(numbers, default=0.0),
    "min": lambda *numbers: min(numbers, default=0.0),
    "avg": lambda *numbers: sum(numbers) / len(numbers) if numbers else 0.0,
    "sum": lambda *numbers: float(sum(numbers)),
    "len": lambda *numbers: float(len(numbers)),
    "lg": math.log2,
    "ln": math.log,
    "log": math.log10,
}
