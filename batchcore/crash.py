"""Named points at which a test may kill the controller, to prove that nothing is lost there.

``BATCHCORE_CRASH_AT=<point>`` kills the process with SIGKILL the first time the point is reached,
``<point>:3`` the third time. Every change of state that matters has a point; the crash tests are
generated from `POINTS`, so a new point is tested by being listed. A backend of another distribution
names its points after itself, and its own tests list them.
"""

from __future__ import annotations

import os
import signal
import threading

__all__ = ["POINTS", "VARIABLE", "reach"]

VARIABLE = "BATCHCORE_CRASH_AT"

POINTS = (
    "record.created",
    "stage.uploaded",
    "stage.recorded",
    "submit.recorded",
    "submit.accepted",
    "engine.prepared",
    "engine.started",
    "engine.exited",
    "engine.exit_recorded",
    "engine.removed",
    "poll.received",
    "collect.copied",
    "collect.published",
    "collect.recorded",
    "run.ended",
    "run.settled",
    "run.released",
)

_lock = threading.Lock()
_seen: dict[str, int] = {}


def reach(point: str) -> None:
    """Kill this process here if the environment asks for it; otherwise do nothing."""
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return
    name, _, count = wanted.partition(":")
    if name != point:
        return
    with _lock:
        _seen[point] = _seen.get(point, 0) + 1
        due = _seen[point] >= int(count or 1)
    if due:
        os.kill(os.getpid(), signal.SIGKILL)
