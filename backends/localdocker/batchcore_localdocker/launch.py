"""From an attempt to a started container: made anew, or adopted from an earlier process."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker.errors as sdk  # noqa: TID253 - only loaded once the backend is used

from batchcore.backend import Shell
from batchcore.errors import BackendError, EnvironmentNotReady
from batchcore.local import secretfiles
from batchcore.local.runner import Attempt, Exit
from batchcore.states import FailureReason
from batchcore.transfer.files import write_error
from batchcore_localdocker import copying
from batchcore_localdocker.connection import Connection
from batchcore_localdocker.containers import Containers
from batchcore_localdocker.errors import docker_errors, explanation, status_of
from batchcore_localdocker.images import Images
from batchcore_localdocker.networks import Networks
from batchcore_localdocker.settings import LocalDockerSettings
from batchcore_localdocker.sharing import daemon_sees
from batchcore_localdocker.translate import (
    RUN_LABEL,
    ImageFacts,
    Placement,
    container_config,
    shell_config,
    task_directory,
)

_ROOT = "0:0"
_SERVER_ERROR = 500
# The programs that make a container's processes; what they report will not change by itself.
_CONTAINER_MAKERS = ("OCI runtime", "runc")


class Launcher:
    """Starts attempts; asking again adopts what was started before."""

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
        self._lock = threading.Lock()
        self._seen: dict[Path, bool] = {}

    def expect(self, count: int) -> None:
        """Say that so many attempts will be started: a few are not worth a network kept ready."""
        self._expected += count

    def start(self, attempt: Attempt) -> Exit | None:
        """Create and start the attempt's container, or adopt the one that has been started.

        Raises `Conflict` where the container's name is taken by something that is not this
        attempt's. Transient: the daemon did not answer; asking again adopts what was started.
        """
        with docker_errors(f"starting task {attempt.task.id!r}"):
            there = self._containers.find(attempt) if self._was_begun(attempt) else None
            if there is not None:
                self.networks.adopt(attempt, there["HostConfig"]["NetworkMode"])
                if there["State"]["Status"] != "created":
                    return None
                # A killed controller did not come to start it.
                self._containers.remove(there["Id"])
            try:
                return self._start_new(attempt)
            except sdk.ImageNotFound:
                self._images.forget(attempt.task.image or "")
                return _no_image(attempt)
            except sdk.APIError as exc:
                return _refused(exc)

    def _was_begun(self, attempt: Attempt) -> bool:
        """Return whether a container may have been made for the attempt, and note that one is.

        A file is cheaper to look for than a container.
        """
        mark = attempt.control / "container"
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            return True
        except OSError as exc:
            raise write_error(mark, exc) from exc
        return False

    def shell(self, attempt: Attempt) -> Shell:
        """Create the attempt's container with a shell as its command, to be started by hand.

        The terminal is connected by Docker's own program. Raises `EnvironmentNotReady` where that
        or the image's shell is missing, `BackendError` where the container cannot be made.
        """
        program = shutil.which("docker")
        if program is None:
            raise EnvironmentNotReady(
                "there is no program `docker` on this machine, and it connects the terminal",
                hint="install Docker's command line, or use --backend local-process",
            )
        image = attempt.task.image or ""
        with docker_errors(f"making a container for task {attempt.task.id!r}"):
            facts = self._images.facts(image, attempt.run_id)
            if facts is not None and not facts.has_shell:
                raise EnvironmentNotReady(f"the image {image!r} has no /bin/sh to be opened")
            made = self._make(attempt, shell_config)
        if isinstance(made, Exit):
            raise BackendError(made.detail)
        argv = (program, "start", "--attach", "--interactive", made)
        return Shell(argv=argv, directory=attempt.working_directory)

    def _start_new(self, attempt: Attempt) -> Exit | None:
        made = self._make(attempt)
        if isinstance(made, Exit):
            return made
        with self._removed_if_wrong(attempt, made):
            self._connection.client.start(made)
        return None

    def _make(
        self,
        attempt: Attempt,
        change: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda config: config,
    ) -> str | Exit:
        """Create the attempt's container with its files in it, and return its id.

        `change` has the last word on the request. An `Exit` says why there can be none.
        """
        facts = self._images.facts(attempt.task.image or "", attempt.run_id)
        if facts is None:
            return _no_image(attempt)
        as_root, shared = attempt.task.user == "root", self._sees_work(attempt, facts)
        if attempt.task.mounts and not shared:
            return _cannot_mount(attempt)
        copied = as_root or not shared
        secrets = self._shared_secrets(attempt, facts) if shared else None
        secrets_copied = bool(attempt.task.secrets) and secrets is None
        if self._settings.read_only and (copied or secrets_copied):
            return _cannot_fill(as_root=as_root)
        place = Placement(
            user=_ROOT if as_root else self._user,
            network=self._network(attempt, facts),
            copied=copied,
            secrets=secrets,
        )
        config = change(container_config(attempt, facts, self._settings, place))
        ident = self._containers.create(attempt, config, self._settings.platform)
        with self._removed_if_wrong(attempt, ident):
            self._fill(attempt, ident, place)
        return ident

    @contextmanager
    def _removed_if_wrong(self, attempt: Attempt, ident: str) -> Iterator[None]:
        """Remove a new container again where the daemon refuses something in the block."""
        try:
            yield
        except sdk.APIError as exc:
            self._containers.remove(ident)
            self._containers.forget(attempt)
            if self.networks.is_broken(attempt) or isinstance(exc, sdk.NotFound):
                raise _vanished(attempt) from exc
            raise

    def _network(self, attempt: Attempt, facts: ImageFacts) -> str:
        worth_it = self._expected > 2 * self._connection.slots
        return self.networks.join(attempt, facts) if worth_it else self._settings.network

    def _shared_secrets(self, attempt: Attempt, facts: ImageFacts) -> Path | None:
        """Write the attempt's secrets and return where; None if the daemon does not see them."""
        directory = secretfiles.write(attempt)
        if directory is None or self._sees(directory.parent, directory.parent, attempt, facts):
            return directory
        secretfiles.remove(attempt)
        return None

    def _sees_work(self, attempt: Attempt, facts: ImageFacts) -> bool:
        return self._sees(attempt.directory.parent.parent, attempt.control, attempt, facts)

    def _sees(self, top: Path, below: Path, attempt: Attempt, facts: ImageFacts) -> bool:
        """Return whether the daemon sees what lies in `top`; looked at once, in `below`."""
        with self._lock:
            if top not in self._seen:
                client, labels = self._connection.client, {RUN_LABEL: attempt.run_id}
                self._seen[top] = daemon_sees(client, facts.id, below, labels)
            return self._seen[top]

    def _fill(self, attempt: Attempt, ident: str, place: Placement) -> None:
        """Copy into a container what it cannot share: the attempt's files, and its secrets."""
        client, (uid, gid) = self._connection.client, map(int, place.user.split(":"))
        if place.copied:
            copying.send(
                client, ident, attempt.task_directory, task_directory(attempt), uid=uid, gid=gid
            )
        if attempt.task.secrets and place.secrets is None:
            secrets = secretfiles.values(attempt)
            copying.place(client, ident, secretfiles.INSIDE, secrets, uid=uid, gid=gid)


def _no_image(attempt: Attempt) -> Exit:
    return Exit(
        reason=FailureReason.IMAGE,
        detail=f"there is no image {attempt.task.image!r} on this machine any more",
        retryable=False,
    )


def _cannot_mount(attempt: Attempt) -> Exit:
    return Exit(
        reason=FailureReason.START_FAILED,
        detail=f"{attempt.task.mounts[0].source!r} cannot be mounted: the Docker daemon does not "
        "see this machine's directories; make its files resources",
        retryable=False,
    )


def _cannot_fill(*, as_root: bool) -> Exit:
    whose = "a root task" if as_root else "a daemon that does not see this machine's directories"
    return Exit(
        reason=FailureReason.START_FAILED,
        detail=f"the container of {whose} has files copied into it, and read_only forbids that; "
        "leave out read_only",
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
