"""Times and sizes as people write them: `"30m"`, `"512MiB"`."""

from __future__ import annotations

import math
import re

from batchcore.errors import JobError

_SECONDS = {"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_BYTES = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "k": 2**10,
    "m": 2**20,
    "g": 2**30,
    "t": 2**40,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def seconds(value: float | str, key: str) -> float:
    """Return a time in seconds from a number or a text such as ``"90s"``, ``"30m"``, ``"2h"``.

    Raises `JobError` (permanent), naming `key`, for anything else or a time that is not above 0.
    """
    hint = 'write "30m"; the units are s, m, h and d'
    number = _parse(value, _SECONDS, key, 'a time such as 90, "30m" or "2h"', hint)
    if number <= 0 or math.isinf(number) or math.isnan(number):
        raise JobError.of("BC2001", f"{value!r} is not a time above zero", hint=hint, key=key)
    return number


def size_in_bytes(value: float | str, key: str) -> int:
    """Return a size in bytes from a number or a text such as ``"512MiB"`` or ``"2G"`` (2 GiB).

    Raises `JobError` (permanent), naming `key`, for anything else or a size below 1.
    """
    hint = 'write "512MiB"; the units are KB, MB, GB, TB and KiB, MiB, GiB, TiB'
    number = _parse(value, _BYTES, key, 'a size such as 1048576, "512MiB" or "2GiB"', hint)
    if not 1 <= number < 2**63:
        wanted = "a size above zero" if number < 1 else "a size that any machine has"
        raise JobError.of("BC2001", f"{value!r} is not {wanted}", hint=hint, key=key)
    return int(number)


def show_bytes(count: int) -> str:
    """Return a size for people: ``1.2 MiB``."""
    number = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":  # noqa: PLR2004 - the base of the binary units
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def show_seconds(duration: float) -> str:
    """Return a duration for people: ``0.3 s``, ``4 min``, ``27.5 h``."""
    if duration < 60:  # noqa: PLR2004 - seconds in a minute
        return f"{max(duration, 0):.1f} s"
    if duration < 2 * 3600:
        return f"{duration / 60:.0f} min"
    return f"{duration / 3600:.1f} h"


def _parse(value: float | str, units: dict[str, int], key: str, wanted: str, hint: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    factor = units.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise JobError.of("BC2001", f"{value!r} is not {wanted}", hint=hint, key=key)
    return float(match[1]) * factor
