"""Time as the driver sees it, so that a test can hold the hands."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """The three things that code here may ask of time."""

    def now(self) -> float:
        """Return seconds since the epoch, for records and people."""
        ...

    def monotonic(self) -> float:
        """Return seconds that only grow, for deadlines."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that only grow."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
