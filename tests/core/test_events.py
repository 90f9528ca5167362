"""What happens in a run, as values; observers hear of it one by one, each guarded."""

from __future__ import annotations

import logging

import msgspec
import pytest

from batchcore.events import (
    Event,
    Note,
    Observers,
    RunEnded,
    RunLeft,
    RunStarted,
    Staged,
    TaskChanged,
)
from batchcore.states import FailureReason, TaskState

EVENTS = [
    RunStarted(at=1.0, run_id="r", backend="b", tasks=3, already_succeeded=1, resumed=True),
    Staged(at=1.0, sent=1, total=2),
    Note(at=1.0, text="news"),
    TaskChanged(
        at=1.0,
        task_id="a",
        attempt=1,
        old=TaskState.RUNNING,
        new=TaskState.FAILED,
        reason=FailureReason.EXIT_CODE,
        exit_code=3,
        detail="it broke",
        duration=1.5,
    ),
    RunLeft(at=1.0, run_id="r", why="Detached.", failed=False),
    RunEnded(at=1.0, run_id="r", state="failed", succeeded=1, failed=1, canceled=1),
]
NEWS = Note(at=1.0, text="news")


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_is_frozen_plain_data(event: Event) -> None:
    with pytest.raises(AttributeError):
        event.at = 2.0
    kinds = RunStarted | Staged | Note | TaskChanged | RunLeft | RunEnded
    assert msgspec.json.decode(msgspec.json.encode(event), type=kinds) == event


def test_observers_are_told_in_their_order() -> None:
    heard: list[str] = []
    observers = Observers([lambda _: heard.append("first")])
    observers.add(lambda _: heard.append("second"))
    observers.tell(NEWS)
    assert heard == ["first", "second"]


def test_an_observer_that_fails_is_logged_and_told_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[Event] = []
    calls: list[Event] = []

    def bad(event: Event) -> None:
        calls.append(event)
        raise RuntimeError("no network")

    observers = Observers([bad, heard.append])
    with caplog.at_level(logging.ERROR, "batchcore"):
        observers.tell(NEWS)
        observers.tell(NEWS)
    assert (len(calls), len(heard)) == (1, 2)
    (entry,) = caplog.records
    assert "an observer failed and is not told any more" in entry.message
    assert "no network" in caplog.text


def test_an_observer_may_be_told_within_its_own_call() -> None:
    heard: list[str] = []
    observers = Observers()

    def nested(event: Event) -> None:
        assert isinstance(event, Note)
        if event.text == "news":
            observers.tell(Note(at=1.0, text="inner"))
        raise RuntimeError(event.text)

    observers.add(nested)
    observers.add(lambda event: heard.append(event.text))
    observers.tell(NEWS)
    assert heard == ["inner", "news"]


def test_ctrl_c_in_an_observer_is_not_held_back() -> None:
    def interrupted(_event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Observers([interrupted]).tell(NEWS)
