"""Waiting for a daemon that is away: no daemon needed."""

from __future__ import annotations

import threading

import pytest

from batchcore.errors import BackendError
from batchcore_localdocker.patience import Patience


class Away:
    """Fails for the moment so many times, then answers."""

    def __init__(self, times: int, *, transient: bool = True) -> None:
        self.left = times
        self.calls = 0
        self.transient = transient

    def __call__(self) -> str:
        self.calls += 1
        self.left -= 1
        if self.left >= 0:
            raise BackendError("away", transient=self.transient)
        return "here"


def test_a_call_is_repeated_and_every_failure_is_told() -> None:
    away, told = Away(2), []
    assert Patience(threading.Event(), 30).repeat(away, lambda: told.append("lost")) == "here"
    assert told == ["lost", "lost"]


@pytest.mark.parametrize(
    ("seconds", "woken", "transient"),
    [(0, False, True), (30, True, True), (30, False, False)],
    ids=["its time is over", "woken", "permanent"],
)
def test_it_does_not_go_on_for_ever(seconds: float, woken: bool, transient: bool) -> None:
    event, away = threading.Event(), Away(9, transient=transient)
    if woken:
        event.set()
    with pytest.raises(BackendError, match="away"):
        Patience(event, seconds).repeat(away)
    assert away.calls == 1
