"""Clocks for tests: one whose hands the test moves, and one that does not like to wait."""

from __future__ import annotations

from batchcore.clock import SystemClock


class FakeClock:
    """Time that passes only when somebody sleeps; `slept` lists for how long."""

    def __init__(self, start: float = 1_000_000.0) -> None:
        """Begin at `start` seconds since the epoch."""
        self._now = start
        self.slept: list[float] = []

    def now(self) -> float:
        """Return seconds since the epoch."""
        return self._now

    def monotonic(self) -> float:
        """Return the same hands."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Move the hands and return at once."""
        self.slept.append(seconds)
        self._now += max(seconds, 0.0)


class ImpatientClock(SystemClock):
    """The machine's own clock, but for sleeps: none takes longer than `longest` seconds."""

    def __init__(self, longest: float = 0.1) -> None:
        """Keep the limit."""
        self._longest = longest

    def sleep(self, seconds: float) -> None:
        """Wait, no longer than the limit."""
        super().sleep(min(seconds, self._longest))
