"""`local-docker` put together: containers under the engine that all local backends share."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from batchcore.local.backend import LocalBackend
from batchcore_localdocker.connection import Connection
from batchcore_localdocker.orphans import remove_orphans
from batchcore_localdocker.runner import DockerRunner
from batchcore_localdocker.settings import LocalDockerSettings


class LocalDockerBackend(LocalBackend):
    """Tasks in containers of this machine's Docker."""

    def release_orphans(self, keep: Collection[str], *, dry_run: bool) -> Sequence[str]:
        """Delete the containers of runs whose directory is gone from this machine."""
        connection = Connection(slots=1)
        try:
            return remove_orphans(connection, keep, dry_run=dry_run)
        finally:
            connection.close()


def create(settings: LocalDockerSettings) -> LocalBackend:
    """Return the backend; the daemon is first asked when something is wanted of it."""
    return LocalDockerBackend(DockerRunner(settings), settings.slots)
