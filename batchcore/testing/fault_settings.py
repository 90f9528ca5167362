"""The options of `fault`, and what they make of an attempt: the same in every process."""

from __future__ import annotations

import hashlib
from typing import Annotated

from msgspec import Meta, Struct

from batchcore.states import FailureReason

Share = Annotated[float, Meta(ge=0, le=1)]


class FaultSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `fault`.

    `inner` is the backend that runs the tasks, with its own settings. `preempt` and `lose` are
    shares of attempts whose task is stopped while it runs, with the reasons preempted and
    node_lost. The first `pull_fail` attempts of each task fail with the reason image. None of
    these happens to an attempt beyond number `attempts`. `delay` is how many seconds later an end
    is told. `busy` is the share of calls that fail with a transient error, half of them after
    they were carried out; no two in a row. `seed` chooses among the runs of luck.
    """

    inner: Annotated[str, Meta(min_length=1)] = "local-process"
    preempt: Share = 0.0
    lose: Share = 0.0
    pull_fail: Annotated[int, Meta(ge=0)] = 0
    delay: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    busy: Annotated[float, Meta(ge=0, le=0.5)] = 0.0
    attempts: Annotated[int, Meta(ge=0)] = 2
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what could only be a mistake."""
        if self.preempt + self.lose > 1:
            msg = "preempt and lose are shares of the same attempts, and more than 1 together"
            raise ValueError(msg)
        if self.inner == "fault":
            msg = "inner must be another backend than fault"
            raise ValueError(msg)


def fate(settings: FaultSettings, task_id: str, attempt: int) -> FailureReason | None:
    """Return with which reason an attempt is to fail, None where it is left alone."""
    if attempt > settings.attempts:
        return None
    if attempt <= settings.pull_fail:
        return FailureReason.IMAGE
    drawn = draw(settings.seed, "end", task_id, attempt)
    if drawn < settings.preempt:
        return FailureReason.PREEMPTED
    if drawn < settings.preempt + settings.lose:
        return FailureReason.NODE_LOST
    return None


def draw(seed: int, *what: object) -> float:
    """Return a number from 0 to below 1 that depends on its arguments alone."""
    digest = hashlib.sha256(repr((seed, *what)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / (1 << 48)
