"""Makes `local-process` from its settings."""

from __future__ import annotations

from batchcore.backend import Backend
from batchcore.local.backend import LocalBackend
from batchcore.local.process import ProcessRunner
from batchcore.local.settings import LocalProcessSettings


def create(settings: LocalProcessSettings) -> Backend:
    """Return the backend; nothing is started."""
    return LocalBackend(ProcessRunner(settings), settings.slots)
