"""Accidents on demand, and a log of all requests, so that a test can break and count them."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct, field

_SIGNATURE = re.compile(r"(sig=)[^&\s\"]+", re.IGNORECASE)


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens to the n-th request that matches, and to how many after it.

    In `path`, ``*`` stands for a part without a slash, ``**`` for anything. The kinds are:

    - ``status``: answer `status` with `code`, `message` and `headers` instead of doing it, or,
      `after_commit`, after it was done.
    - ``reset``: break the connection without an answer, before or `after_commit`.
    - ``delay``: wait `seconds`, then do it.
    - ``short_body``: do it, announce the whole answer and break the connection halfway.
    - ``empty_page``: answer a list with no item and a link to the same page.
    - ``entries``: in an addtaskcollection, answer `status_of_entry` for each task whose id matches
      `task`, and add the others.
    """

    kind: Literal["status", "reset", "delay", "short_body", "empty_page", "entries"]
    method: str = "*"
    path: str = "**"
    first: int = 1
    times: int = 1
    after_commit: bool = False
    status: int = 503
    code: str = "ServerBusy"
    message: str = "Server is busy. Please try again after some time."
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    task: str = "*"
    status_of_entry: str = "ServerError"

    def matches(self, method: str, path: str) -> bool:
        """Tell whether a request is of the kind that this fault waits for."""
        return self.method in {"*", method} and _fits(self.path, path)

    def hits(self, task_id: str) -> bool:
        """Tell whether a task of a collection is answered by this fault."""
        return self.kind == "entries" and _fits(self.task, task_id)


class Seen(Struct, frozen=True):
    """One request as it came; the query without signatures, the size of the body in bytes."""

    method: str
    path: str
    query: str
    size: int
    fault: str | None


class Faults:
    """The faults to come, each with its count; safe to use from any thread."""

    def __init__(self) -> None:
        """Plan no fault."""
        self._lock = threading.Lock()
        self._planned: list[tuple[Fault, list[int]]] = []

    def add(self, *faults: Fault) -> None:
        """Plan faults; each counts its requests from now on."""
        with self._lock:
            self._planned += [(fault, [0]) for fault in faults]

    def clear(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._planned = []

    def pick(self, method: str, path: str) -> Fault | None:
        """Count one request, and return the fault that is its own: the one planned first."""
        due = None
        with self._lock:
            for fault, count in self._planned:
                if fault.matches(method, path):
                    count[0] += 1
                    if fault.first <= count[0] < fault.first + fault.times:
                        due = due or fault
        return due


class Requests:
    """All requests since the start or the last `clear`, in order; safe from any thread."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._lock = threading.Lock()
        self._seen: list[Seen] = []

    def note(self, method: str, path: str, query: str, size: int, fault: Fault | None) -> None:
        """Keep one request."""
        clean = _SIGNATURE.sub(r"\1REDACTED", query)
        with self._lock:
            self._seen.append(Seen(method, path, clean, size, fault.kind if fault else None))

    def clear(self) -> None:
        """Forget all requests."""
        with self._lock:
            self._seen = []

    def seen(self, method: str = "*", path: str = "**") -> list[Seen]:
        """Return the requests of one kind; patterns are those of `Fault`."""
        with self._lock:
            seen: Iterable[Seen] = list(self._seen)
        return [one for one in seen if method in {"*", one.method} and _fits(path, one.path)]

    def count(self, method: str = "*", path: str = "**") -> int:
        """Return how many requests of one kind there were."""
        return len(self.seen(method, path))


def _fits(pattern: str, text: str) -> bool:
    wild = re.escape(pattern).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
    return re.fullmatch(wild, text, re.DOTALL) is not None
