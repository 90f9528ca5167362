"""Makes `memory` from its settings."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, ClassVar

from batchcore.backend import Backend, Check, RunContext
from batchcore.errors import SettingsError
from batchcore.plan import Plan
from batchcore.testing.command import leftovers, sweep
from batchcore.testing.memory import MemoryBackend
from batchcore.testing.memory_settings import MemorySettings
from batchcore.testing.outcome import Behaviour


class MemoryService(MemoryBackend):
    """The memory backend as a run by name has it: it waits for news itself, and so loses no time.

    The name of the behaviour belongs to the run's identity.
    """

    notifies: ClassVar[bool] = True

    def __init__(self, settings: MemorySettings) -> None:
        """Import the behaviour; raises `SettingsError` where there is none of this name."""
        super().__init__(_behaviour(settings.behaviour), slots=settings.slots)
        self._name = settings.behaviour

    def check(self, plan: Plan) -> Check:  # noqa: ARG002 - the contract's
        """Accept every plan."""
        return Check(fingerprint={"behaviour": self._name})

    def release(self, run: RunContext, *, dry_run: bool) -> Sequence[str]:
        """Delete the run's prefix, and what a killed process has left of its commands."""
        lines = leftovers(run.run_id)
        lines += super().release(run, dry_run=dry_run)
        if not dry_run:
            sweep(run.run_id)
        return lines


def create(settings: MemorySettings) -> Backend:
    """Return the backend; nothing is started."""
    return MemoryService(settings)


def _behaviour(name: str) -> Behaviour:
    module, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for word in attribute.split("."):
            found = getattr(found, word)
    except (ImportError, AttributeError) as exc:
        raise SettingsError(
            f"the behaviour {name!r} of memory cannot be imported: {exc}",
            hint="write package.module:function, of a module that Python finds from here",
            where="memory.behaviour",
        ) from exc
    if not callable(found):
        raise SettingsError(
            f"the behaviour {name!r} of memory is {type(found).__name__} and no function",
            hint="name a function of a task and the number of its attempt",
            where="memory.behaviour",
        )
    behaviour: Behaviour = found
    return behaviour
