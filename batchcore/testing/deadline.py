"""What a failed test says of the contract, and when waiting for a promise ends."""

from __future__ import annotations

from batchcore.clock import SystemClock
from batchcore.events import Event, TaskChanged
from batchcore.testing.clock import ImpatientClock


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


class DriverClock(ImpatientClock):
    """A driver's clock, and its observer: nothing told of a task for too long fails the test.

    `longest` is how long a sleep takes at most, `seconds` how long the tasks may be silent.
    """

    def __init__(self, longest: float, seconds: float) -> None:
        """Begin now."""
        super().__init__(longest)
        self._seconds = seconds
        self._deadline = Deadline(seconds)
        self._told: Event | None = None

    def observe(self, event: Event) -> None:
        """Begin anew when something is told of a task."""
        if isinstance(event, TaskChanged):
            self._told = event
            self._deadline = Deadline(self._seconds)

    def now(self) -> float:
        """Return seconds since the epoch; the driver asks at each turn."""
        self._hold()
        return super().now()

    def sleep(self, seconds: float) -> None:
        """Wait, no longer than the limit."""
        self._hold()
        super().sleep(seconds)

    def _hold(self) -> None:
        last = f"the last that was told of its tasks is {self._told}"
        self._deadline.hold("a run comes to its end, and tells of its tasks until then", last)
