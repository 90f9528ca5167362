"""What the pools and the jobs of the emulator stand on: one lock, one clock, one account."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from batchcore_azure.emulator.records import Body, Job, Pool
from batchcore_azure.emulator.settings import EmulatorSettings, Quota

TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


def now() -> datetime:
    """Return the time of the system."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """Return a time as the service writes it; equal lengths, so that text sorts as time."""
    return moment.astimezone(UTC).strftime(TIME)


class Ground:
    """The account: its lock, its clock, its name, its address, and what it holds."""

    def __init__(
        self,
        settings: EmulatorSettings | None = None,
        *,
        url: str = "http://127.0.0.1",
        clock: Callable[[], datetime] = now,
    ) -> None:
        """Hold nothing yet; `url` stands in all that is answered, `clock` in all times."""
        self.settings = settings or EmulatorSettings()
        self.url = url.rstrip("/")
        self.quota = Quota()
        #: The one lock. Hold it (`with state.changed:`) while reading more than one thing of a
        #: record; `wait` on it for the next change. It may be taken again by who holds it.
        self.changed = threading.Condition(threading.RLock())
        self._clock = clock
        self._numbers = itertools.count(1)
        self._pools: dict[str, Pool] = {}
        self._jobs: dict[str, Job] = {}

    def time(self) -> datetime:
        """Return the time now."""
        return self._clock()

    def stamp(self) -> str:
        """Return the time now, as the service writes it."""
        return stamp(self._clock())

    def _touch(self, body: Body) -> None:
        """Note a change of what a client may change: a new ETag, a new `lastModified`."""
        body["eTag"] = f"0x8DE{next(self._numbers):012X}"
        body["lastModified"] = self.stamp()

    def _move(self, body: Body, state: str, name: str = "state") -> None:
        """Note a change of state, which is not a change for the ETag."""
        body[name] = state
        body[f"{name}TransitionTime"] = self.stamp()

    def _new(self, sent: Body, kind: str, **service: Any) -> Body:
        """Return a stored body: what was sent, and what the service adds.

        Constraints are those of the service, which has filled in what was not sent.
        """
        body = {**service, **{name: value for name, value in sent.items() if value is not None}}
        if "constraints" in service:
            body["constraints"] = service["constraints"]
        body["url"] = f"{self.url}/{kind}/{sent['id']}"
        self._touch(body)
        body["creationTime"] = body["lastModified"]
        return body
