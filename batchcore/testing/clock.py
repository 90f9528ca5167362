"""A clock whose hands are moved by the test."""

from __future__ import annotations


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
