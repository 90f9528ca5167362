"""A backend's methods as the driver calls them: what is transient is tried again."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

from batchcore.backend import Backend
from batchcore.delegate import Answer, Delegate, Given
from batchcore.patience import Patience
from batchcore.testing.clock import ImpatientClock

Result = TypeVar("Result")

_ONCE = frozenset({"check", "close"})


class PatientBackend(Delegate):
    """Passes everything on, and repeats what fails with a transient error, as often as a driver.

    `pause` is the longest wait before another try, in seconds. `check` is asked once: it is no
    part of a run.
    """

    def __init__(self, backend: Backend, pause: float) -> None:
        """Keep whom to call."""
        super().__init__(backend)
        chance = random.Random()  # noqa: S311 - jitter, not a secret
        self._patience = Patience(ImpatientClock(pause), chance, lambda _error, _seconds: None)

    def repeat(self, call: Callable[[], Result]) -> Result:
        """Return what a call that uses the backend returns at last."""
        return self._patience.repeat(call)

    def call(
        self,
        name: str,
        method: Callable[Given, Answer],
        *arguments: Given.args,
        **named: Given.kwargs,
    ) -> Answer:
        """Call a method, again where that may help."""
        if name in _ONCE:
            return method(*arguments, **named)
        return self.repeat(lambda: method(*arguments, **named))
