"""The options of `memory`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class MemorySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `memory`.

    `behaviour` is a function as ``package.module:name``, called with a task and the number of its
    attempt, that returns what becomes of it; default: it succeeds and leaves the task's id in its
    outputs. ``batchcore.testing:execute`` runs the command. `slots` is how many tasks run at once.
    """

    behaviour: Annotated[str, Meta(pattern=r"^[^:]+:[^:]+$")] = "batchcore.testing:succeed"
    slots: Annotated[int, Meta(ge=1, le=100_000)] = 16
