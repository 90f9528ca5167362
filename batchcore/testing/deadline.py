"""What a failed test says of the contract, and when waiting for a promise ends."""

from __future__ import annotations

from batchcore.clock import SystemClock


def says(contract: str, happened: object) -> str:
    """Return the message of a failed assertion: the promise, and what was seen instead."""
    return f"\ncontract: {contract}\nhappened: {happened}"


class Deadline:
    """The moment from which on what was promised counts as never kept."""

    def __init__(self, seconds: float) -> None:
        """Begin now."""
        self._seconds = seconds
        self._clock = SystemClock()
        self._end = self._clock.monotonic() + seconds

    def hold(self, contract: str, happened: object) -> None:
        """Fail the test if the time is over, with the promise and what was seen until then."""
        over = self._clock.monotonic() >= self._end
        assert not over, says(contract, f"not within {self._seconds} s, but {happened}")
