"""What a user or a backend's author tests with: backends that run nothing, clocks, fake plugins.

Shipped, because a pipeline that is tested offline needs the same parts as this project's own
tests. Nothing else in the core imports it. The names are imported when they are first used: only
`BackendConformance`, `Trial`, `PluginInstaller` and `install_plugin` need pytest, the extra
``testing``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batchcore.lazy import attribute

if TYPE_CHECKING:
    from batchcore.testing.clock import FakeClock, ImpatientClock
    from batchcore.testing.command import execute
    from batchcore.testing.conformance import BackendConformance
    from batchcore.testing.faultproxy import Fault, FaultProxy, fault_proxy
    from batchcore.testing.jobs import diamond, failing, hello, many
    from batchcore.testing.memory import MemoryBackend, take_machine
    from batchcore.testing.opened import Opened
    from batchcore.testing.outcome import Behaviour, Execution, Outcome, Work, succeed
    from batchcore.testing.plugins import PluginInstaller, install_plugin
    from batchcore.testing.subject import Subject
    from batchcore.testing.trial import Trial

__all__ = [
    "BackendConformance",
    "Behaviour",
    "Execution",
    "FakeClock",
    "Fault",
    "FaultProxy",
    "ImpatientClock",
    "MemoryBackend",
    "Opened",
    "Outcome",
    "PluginInstaller",
    "Subject",
    "Trial",
    "Work",
    "diamond",
    "execute",
    "failing",
    "fault_proxy",
    "hello",
    "install_plugin",
    "many",
    "succeed",
    "take_machine",
]

_HOMES = {
    "BackendConformance": "conformance",
    "Behaviour": "outcome",
    "Execution": "outcome",
    "FakeClock": "clock",
    "Fault": "faultproxy",
    "FaultProxy": "faultproxy",
    "ImpatientClock": "clock",
    "MemoryBackend": "memory",
    "Opened": "opened",
    "Outcome": "outcome",
    "PluginInstaller": "plugins",
    "Subject": "subject",
    "Trial": "trial",
    "Work": "outcome",
    "diamond": "jobs",
    "execute": "command",
    "failing": "jobs",
    "fault_proxy": "faultproxy",
    "hello": "jobs",
    "install_plugin": "plugins",
    "many": "jobs",
    "succeed": "outcome",
    "take_machine": "memory",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module at first use."""
    return attribute(__name__, _HOMES, name)


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
