"""Repeating a call whose error is transient: bounded, with a growing, jittered wait."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

from batchcore.clock import Clock
from batchcore.errors import BackendError

TRIES = 6
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
LONGEST_ASKED = 300.0

Result = TypeVar("Result")


class Patience:
    """Repeats calls to a backend; `before_pause` is told the error and the seconds to come."""

    def __init__(
        self,
        clock: Clock,
        chance: random.Random,
        before_pause: Callable[[BackendError, float], None],
    ) -> None:
        """Take the driver's clock and chance; `before_pause` may raise to stop trying."""
        self._clock = clock
        self._chance = chance
        self._before_pause = before_pause

    def repeat(self, call: Callable[[], Result]) -> Result:
        """Return what `call` returns at last; raises its last error after `TRIES` tries.

        An error that is not transient is raised at once. Where the service named a time, that is
        waited, else a time that doubles, up to `LONGEST_PAUSE` seconds.
        """
        for tried in range(1, TRIES):
            try:
                return call()
            except BackendError as exc:
                if not exc.transient:
                    raise
                pause = min(exc.retry_after or 0, LONGEST_ASKED)
                pause = pause or min(LONGEST_PAUSE, FIRST_PAUSE * 2**tried)
                self._before_pause(exc, pause)
                self._clock.sleep(pause * (0.5 + self._chance.random() / 2))
        return call()
