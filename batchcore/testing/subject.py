"""What a conformance test is told about the backend under test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from msgspec import Struct


class Subject(Struct, frozen=True, kw_only=True):
    """A backend to be held to the contract; what the fixture `subject` returns.

    `backend` is the name of an installed backend, `options` its settings as the job file writes
    them, `image` a container image with ``sh`` and the usual small tools, None where the backend
    runs no containers. `seconds` is how long any one thing may take before it counts as never,
    and how long a run may tell nothing of its tasks (default 60), `pause` how long to wait between
    two questions to a backend that does not wait itself (seconds, default 0.1). `copies` is how
    many tasks are many (default 100).

    `interrupt` takes the machine, or what stands for it, away from the first attempt of a running
    task: it is called with the `Opened` run and the task's id. A driver may be using the run's
    backend, so it looks at `context` alone. A backend that declares `interruptions` needs one.
    """

    backend: str
    options: Mapping[str, Any] = MappingProxyType({})
    image: str | None = None
    seconds: float = 60.0
    pause: float = 0.1
    copies: int = 100
    interrupt: Callable[[Any, str], None] | None = None
