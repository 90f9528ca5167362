"""Bridging the time in which a daemon restarts."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from batchcore.errors import BackendError

Result = TypeVar("Result")

_FIRST_DELAY = 0.2
_LONGEST_DELAY = 5.0


class Patience:
    """Repeats calls that failed for the moment, for a limited time each."""

    def __init__(self, woken: threading.Event, seconds: float) -> None:
        """Give up after so many seconds, or as soon as `woken` is set."""
        self._woken = woken
        self._seconds = seconds

    def repeat(
        self, call: Callable[[], Result], on_failure: Callable[[], None] = lambda: None
    ) -> Result:
        """Return what `call`, which must be safe to repeat, returns at last.

        `on_failure` is called after every failure that may pass. Raises the last transient
        `BackendError` when the time is over, and every other error at once.
        """
        deadline, delay = time.monotonic() + self._seconds, _FIRST_DELAY
        while True:
            try:
                return call()
            except BackendError as exc:
                if not exc.transient:
                    raise
                on_failure()
                if time.monotonic() >= deadline or self._woken.is_set():
                    raise
            self._woken.wait(delay * random.uniform(0.5, 1))  # noqa: S311 - jitter
            delay = min(delay * 2, _LONGEST_DELAY)
