"""Carries out the faults of a seed beside the commands."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from .drawing import Fault
from .world import World

_AIM_SECONDS = 2.0
_END_SECONDS = 60.0


class Gremlin(threading.Thread):
    """Carries out each fault at its time; `hit` are the kinds of those that met something."""

    def __init__(self, world: World, faults: Sequence[Fault]) -> None:
        super().__init__(name="gremlin", daemon=True)
        self._world = world
        self._faults = faults
        self._over = threading.Event()
        self._trouble: Exception | None = None
        self.hit: list[str] = []

    def is_about(self) -> bool:
        """Return whether something goes wrong now, or may still do."""
        return self.is_alive() or self._world.pending()

    def run(self) -> None:
        begun = time.monotonic()
        try:
            for fault in self._faults:
                self._over.wait(max(0.0, begun + fault.at - time.monotonic()))
                self._aim(fault)
        except Exception as error:  # noqa: BLE001 - raised again where the seed is played
            self._trouble = error

    def _aim(self, fault: Fault) -> None:
        """Try until there is something to hit, but not for long."""
        until = time.monotonic() + _AIM_SECONDS
        while not self._over.is_set() and time.monotonic() < until:
            if self._world.strike(fault):
                self.hit.append(fault.kind)
                return
            self._over.wait(0.05)

    def stop(self) -> None:
        """Let nothing go wrong any more."""
        self._over.set()
        self.join(_END_SECONDS)
        for kind in self._world.unmet():
            self.hit.remove(kind)
        self._world.calm()
        if self._trouble is not None:
            raise self._trouble
