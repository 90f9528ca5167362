"""From an attempt to a started container: made anew, or adopted from an earlier process."""

from __future__ import annotations

import os

import docker.errors as sdk  # noqa: TID253 - only loaded once the backend is used

from batchcore.errors import BackendError
from batchcore.local.runner import Attempt, Exit
from batchcore.states import FailureReason
from batchcore_localdocker.connection import Connection
from batchcore_localdocker.containers import Containers
from batchcore_localdocker.errors import docker_errors, explanation, status_of
from batchcore_localdocker.images import Images
from batchcore_localdocker.networks import Networks
from batchcore_localdocker.settings import LocalDockerSettings
from batchcore_localdocker.translate import ImageFacts, Placement, container_config

_ROOT = "0:0"
_SERVER_ERROR = 500
# The programs that make a container's processes; what they report will not change by itself.
_CONTAINER_MAKERS = ("OCI runtime", "runc")


class Launcher:
    """Starts attempts; asking again adopts what was made before."""

    def __init__(
        self,
        settings: LocalDockerSettings,
        user: str | None,
        connection: Connection,
        containers: Containers,
        images: Images,
    ) -> None:
        """Keep how containers are to be made; `user` is ``uid:gid``, default the caller's."""
        self._settings = settings
        self._user = user or f"{os.getuid()}:{os.getgid()}"
        self._connection = connection
        self._containers = containers
        self._images = images
        self.networks = Networks(connection, containers, settings.network)
        self._expected = 0

    def expect(self, count: int) -> None:
        """Say that so many attempts will be started: a few are not worth a network kept ready."""
        self._expected += count

    def start(self, attempt: Attempt) -> Exit | None:
        """Create and start the attempt's container, or adopt the one that is there.

        Raises `Conflict` where the container's name is taken by something that is not this
        attempt's. Transient: the daemon did not answer; asking again adopts what was made.
        """
        image = attempt.task.image or ""
        with docker_errors(f"starting task {attempt.task.id!r}"):
            facts = self._images.facts(image, attempt.run_id)
            try:
                created = facts is not None and self._create(attempt, facts)
            except sdk.ImageNotFound:
                self._images.forget(image)
                return _no_image(image)
            except sdk.APIError as exc:
                return _refused(exc)
            if not created:
                container = self._containers.find(attempt)
                if container is None and facts is None:
                    return _no_image(image)
                if container is None:
                    raise _vanished(attempt)
                self.networks.adopt(attempt, container["HostConfig"]["NetworkMode"])
                if container["State"]["Status"] != "created":
                    return None
            return self._start(attempt)

    def _create(self, attempt: Attempt, facts: ImageFacts) -> bool:
        """Create the attempt's container; False where there is one already."""
        if self._containers.find(attempt) is not None:
            return False
        config = container_config(attempt, facts, self._settings, self._place(attempt, facts))
        return self._containers.create(attempt, config, self._settings.platform)

    def _place(self, attempt: Attempt, facts: ImageFacts) -> Placement:
        network: str = self._settings.network
        if self._expected > 2 * self._connection.slots:
            network = self.networks.join(attempt, facts)
        return Placement(user=_ROOT if attempt.task.user == "root" else self._user, network=network)

    def _start(self, attempt: Attempt) -> Exit | None:
        ident = self._containers.ident(attempt)
        if ident is None:
            raise _vanished(attempt)
        try:
            self._connection.client.start(ident)
        except sdk.APIError as exc:
            if self.networks.is_broken(attempt):
                self._containers.remove(ident)
                self._containers.forget(attempt)
                raise _vanished(attempt) from exc
            if isinstance(exc, sdk.NotFound):
                self._containers.forget(attempt)
                raise _vanished(attempt) from exc
            failure = _refused(exc)
            self._containers.remove(ident)
            return failure
        return None


def _no_image(image: str) -> Exit:
    return Exit(
        reason=FailureReason.IMAGE,
        detail=f"there is no image {image!r} on this machine any more",
        retryable=False,
    )


def _vanished(attempt: Attempt) -> BackendError:
    return BackendError(
        f"the container of task {attempt.task.id!r} vanished while it was made", transient=True
    )


def _refused(exc: sdk.APIError) -> Exit:
    """Return the end of an attempt that the daemon refuses; raise what may pass."""
    text = explanation(exc)
    if (status_of(exc) or 0) >= _SERVER_ERROR and not any(w in text for w in _CONTAINER_MAKERS):
        raise exc
    return Exit(
        reason=FailureReason.START_FAILED,
        detail=f"Docker refused to start it: {text}",
        native=str(status_of(exc)),
        retryable=False,
    )
