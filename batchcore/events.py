"""What happens in a run, as values; observers hear of it one by one, each guarded.

``docs/events.md`` shows how to watch a run. Later versions may add fields, with defaults, and
events: an observer passes over what it does not know.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress

from msgspec import Struct

from batchcore.states import FailureReason, TaskState

log = logging.getLogger("batchcore")


class Event(Struct, frozen=True, kw_only=True, tag=True):
    """Something that happened; `at` is seconds since the epoch."""

    at: float


class RunStarted(Event, frozen=True, kw_only=True):
    """The driver began; `resumed` where the run was begun by an earlier command.

    `directory` is the run directory, and `counts` how many tasks are in which state.
    """

    run_id: str
    backend: str
    tasks: int
    already_succeeded: int
    resumed: bool
    directory: str = ""
    counts: dict[TaskState, int] = {}


class Staged(Event, frozen=True, kw_only=True):
    """The resources are in the store; `sent` of them were sent now."""

    sent: int
    total: int


class Note(Event, frozen=True, kw_only=True):
    """A line of news for people, such as the progress of an image pull."""

    text: str


class TaskChanged(Event, frozen=True, kw_only=True):
    """A task went from `old` to `new`; after a failure that is retried, `new` is `queued`.

    `attempt` is the one that the task was in before the change: 0 where the first is queued.
    `reason`, `exit_code` and `detail` say how an attempt ended that failed, retried or not.
    `started_at` and `ended_at` are when its command ran, in seconds since the epoch by the clock
    of the backend, and `duration` the seconds between them; each is None where it is not known.
    """

    task_id: str
    attempt: int
    old: TaskState
    new: TaskState
    reason: FailureReason | None = None
    exit_code: int | None = None
    detail: str = ""
    duration: float | None = None
    started_at: float | None = None
    ended_at: float | None = None


class Tick(Event, frozen=True, kw_only=True):
    """The driver has asked for news and there was none."""


class RunLeft(Event, frozen=True, kw_only=True):
    """The driver leaves before the end, and another one can go on; `why` in a sentence.

    `failed` where something broke, not where somebody wanted to leave.
    """

    run_id: str
    why: str
    failed: bool


class RunEnded(Event, frozen=True, kw_only=True):
    """The driver has nothing left to do; `state` is succeeded, failed or canceled."""

    run_id: str
    state: str
    succeeded: int
    failed: int
    canceled: int


Observer = Callable[[Event], None]


class Observers:
    """Tells every observer of every event; one that raises is told once and dropped."""

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        """Keep the observers in the order in which they are told."""
        self._observers = list(observers)

    def add(self, observer: Observer) -> None:
        """Add one at the end."""
        self._observers.append(observer)

    def tell(self, event: Event) -> None:
        """Tell everybody; nothing that an observer does can change the run."""
        for observer in list(self._observers):
            try:
                observer(event)
            except Exception:
                log.exception("an observer failed and is not told any more: %r", observer)
                with suppress(ValueError):  # it may have been dropped within its own call
                    self._observers.remove(observer)
