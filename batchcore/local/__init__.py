"""Running tasks on this machine: one engine of slots, and a runner per way to run a command.

`engine` hands attempts to slots, keeps time limits and remembers how each attempt ended;
`runner` is what it asks of a way to run one command; `process` runs it as a child process;
`backend` is the backend contract on top of an engine, shared by every local backend.

What a backend of this machine is made of is public, and imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batchcore.lazy import attribute

if TYPE_CHECKING:
    from batchcore.local.backend import LocalBackend
    from batchcore.local.capacity import beyond_capacity, beyond_disk
    from batchcore.local.environment import worker_environment
    from batchcore.local.process import ProcessRunner
    from batchcore.local.runner import Attempt, Exit, Runner
    from batchcore.local.settings import LocalProcessSettings

__all__ = [
    "Attempt",
    "Exit",
    "LocalBackend",
    "LocalProcessSettings",
    "ProcessRunner",
    "Runner",
    "beyond_capacity",
    "beyond_disk",
    "worker_environment",
]

_HOMES = {
    "Attempt": "runner",
    "Exit": "runner",
    "LocalBackend": "backend",
    "LocalProcessSettings": "settings",
    "ProcessRunner": "process",
    "Runner": "runner",
    "beyond_capacity": "capacity",
    "beyond_disk": "capacity",
    "worker_environment": "environment",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module at first use."""
    return attribute(__name__, _HOMES, name)


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
