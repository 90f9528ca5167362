"""Numbers, times and states as the page writes them."""

from __future__ import annotations

import time
from typing import Any

from batchcore.states import FailureReason, TaskState

NOTHING = "-"
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def duration(seconds: float | None) -> str:
    """Return a duration: ``350 ms``, ``2.1 s``, ``4 min 10 s``, ``3 h 5 min``, ``2 d 4 h``."""
    if seconds is None:
        return NOTHING
    if seconds < 0.9995:  # noqa: PLR2004 - what is 1,000 ms is 1 s
        return f"{seconds * 1000:.0f} ms" if seconds > 0 else "0 s"
    if seconds < 9.95:  # noqa: PLR2004 - what is 10.0 is 10
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, part, smaller in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "min"),
        (_MINUTE, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def moment(at: float | None) -> str:
    """Return a time in UTC: ``2026-11-23 08:15:02 UTC``."""
    return NOTHING if at is None else time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


def share(part: float, whole: float) -> str:
    """Return a part in per cent."""
    return NOTHING if whole <= 0 else f"{100 * part / whole:.0f} %"


def value(given: Any) -> str:
    """Return a number, or a sign where there is none."""
    if given is None or given == "":
        return NOTHING
    return f"{given:,}" if isinstance(given, int) else str(given)


def why(state: TaskState, reason: FailureReason | None, exit_code: int | None) -> str:
    """Return a state with its reason: ``failed: exit 1``, ``failed: out of memory``."""
    if state is not TaskState.FAILED or reason is None:
        return state.value
    if reason is FailureReason.EXIT_CODE and exit_code is not None:
        return f"{state.value}: exit {exit_code}"
    return f"{state.value}: {reason.value.replace('_', ' ')}"
