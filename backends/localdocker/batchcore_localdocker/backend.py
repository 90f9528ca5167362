"""`local-docker` put together: containers under the engine that all local backends share."""

from __future__ import annotations

from batchcore.local.backend import LocalBackend
from batchcore_localdocker.runner import DockerRunner
from batchcore_localdocker.settings import LocalDockerSettings


def create(settings: LocalDockerSettings) -> LocalBackend:
    """Return the backend; the daemon is first asked when something is wanted of it."""
    return LocalBackend(DockerRunner(settings), settings.slots)
