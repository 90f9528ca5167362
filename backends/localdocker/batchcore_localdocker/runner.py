"""Runs an attempt in a container of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import docker.errors as sdk  # noqa: TID253 - only loaded once the backend is used
import requests

from batchcore.backend import Check, Shell
from batchcore.errors import BackendError
from batchcore.local import secretfiles
from batchcore.local.runner import Attempt, Exit
from batchcore.plan import Plan, PlannedTask
from batchcore.states import FailureReason
from batchcore_localdocker.check import check_plan
from batchcore_localdocker.connection import Connection
from batchcore_localdocker.containers import Containers
from batchcore_localdocker.ending import read_exit
from batchcore_localdocker.errors import docker_errors, timed_out
from batchcore_localdocker.images import Images
from batchcore_localdocker.launch import Launcher
from batchcore_localdocker.patience import Patience
from batchcore_localdocker.pull import pull
from batchcore_localdocker.settings import LocalDockerSettings
from batchcore_localdocker.translate import container_name

PATIENCE_SECONDS = 120.0

_SLICE = 1.0
_LIFE_SECONDS = 60.0
_SHORTEST_SLICE = 0.05


class DockerRunner:
    """Runs attempts in containers that are found again by name, whoever created them.

    Every container is one attempt's alone, runs as the caller without capabilities, and stays
    until `remove`. Nothing is deleted that does not carry the run's label. A daemon that is away
    is waited for, at most two minutes at a time: containers may outlive it.
    """

    def __init__(
        self,
        settings: LocalDockerSettings,
        user: str | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """Keep the settings; `user` is ``uid:gid``, default the caller's. Nothing is connected."""
        self._settings = settings
        self._connection = Connection(settings.slots)
        self._containers = Containers(self._connection)
        self._images = Images(self._connection, settings.platform)
        self._launcher = Launcher(settings, user, self._connection, self._containers, self._images)
        self._networks = self._launcher.networks
        self._fetched: set[str] = set()
        self._stopped: set[str] = set()
        self._heard: dict[str, float] = {}
        self._woken = threading.Event()
        self._patience = Patience(self._woken, patience)

    def check(self, plan: Plan) -> Check:
        """Say whether the plan can run here; see `check_plan`."""
        return check_plan(plan, self._connection, self._images, self._settings)

    def prepare(self, tasks: Sequence[PlannedTask], notify: Callable[[str], None]) -> None:
        """Fetch the images that are not here, or all of them where settings say so; each once.

        Raises `BackendError`: permanent where an image cannot be had, transient where its
        registry failed to answer several times.
        """
        self._launcher.expect(len(tasks))
        for name in dict.fromkeys(task.image for task in tasks if task.image):
            if name in self._fetched:
                continue
            if self._settings.pull == "always" or self._images.local(name) is None:
                self._fetch(name, notify)
            self._fetched.add(name)

    def _fetch(self, name: str, notify: Callable[[str], None]) -> None:
        if self._settings.pull == "never":
            raise BackendError(
                f"there is no image {name!r} on this machine, and pull = never",
                hint=f"type `docker pull {name}` or `docker build -t {name} .`",
            )
        pull(self._connection.client, name, self._settings.platform, notify, self._woken.wait)
        self._images.forget(name)

    def start(self, attempt: Attempt) -> Exit | None:
        """Create and start the attempt's container, or adopt the one that is there.

        Raises `Conflict` where the container's name is taken by something that is not this
        attempt's. Transient: the daemon did not answer; asking again adopts what was made.
        """
        return self._patience.repeat(lambda: self._launcher.start(attempt))

    def shell(self, attempt: Attempt) -> Shell:
        """Create the attempt's container with a shell in place of the command.

        Raises `EnvironmentNotReady` where this machine has no Docker command line, or the image
        no shell.
        """
        return self._patience.repeat(lambda: self._launcher.shell(attempt))

    def wait(self, attempt: Attempt, timeout: float | None) -> Exit | None:
        """Wait for the container's end; on return of an `Exit` the logs are complete files.

        Returns within about a second of a `wake`. Transient: the daemon did not answer.
        """
        deadline = None if timeout is None else time.monotonic() + timeout

        while not self._woken.is_set():
            left = _SLICE if deadline is None else deadline - time.monotonic()
            exit_ = self._look(attempt, min(left, _SLICE))
            if exit_ is not None or left <= 0:
                return exit_
        return None

    def _look(self, attempt: Attempt, seconds: float) -> Exit | None:
        """Return the exit if there is one within so many seconds, bridging a daemon's restart."""
        try:
            return self._patience.repeat(
                lambda: self._exit_within(attempt, seconds),
                _contact_mark(attempt).touch,
            )
        except BackendError as exc:
            if exc.transient and self._woken.is_set():
                return None
            raise

    def _exit_within(self, attempt: Attempt, seconds: float) -> Exit | None:
        """Return the exit if the container ends within so many seconds, or has ended."""
        client, name = self._connection.client, container_name(attempt)
        with docker_errors(f"waiting for task {attempt.task.id!r}"):
            ident = self._containers.ident(attempt)
            if ident is None:
                return _gone(name)
            try:
                if seconds > 0 and not self._ends_within(ident, seconds):
                    self._ask_for_life(ident)
                    return None
                container: dict[str, Any] = client.inspect_container(ident)
                if container["State"]["Running"]:
                    return None
                return read_exit(
                    client,
                    attempt,
                    container,
                    stopped=name in self._stopped,
                    contact_lost=_contact_mark(attempt).exists(),
                )
            except sdk.NotFound:
                return _gone(name)

    def _ends_within(self, ident: str, seconds: float) -> bool:
        limit: Any = max(seconds, _SHORTEST_SLICE)  # the SDK's types know whole seconds only
        try:
            self._connection.client.wait(ident, timeout=limit)
        except requests.RequestException as exc:
            if timed_out(exc):
                return False
            raise
        return True

    def _ask_for_life(self, ident: str) -> None:
        """Have the daemon answer once a minute: one that hangs looks like a task that runs."""
        now = time.monotonic()
        if now - self._heard.setdefault(ident, now) > _LIFE_SECONDS:
            self._connection.client.inspect_container(ident)
            self._heard[ident] = time.monotonic()

    def stop(self, attempt: Attempt, *, kill: bool) -> None:
        """Send TERM to the command's process group, or KILL to everything in the container."""

        def signal() -> None:
            with docker_errors(f"stopping task {attempt.task.id!r}"):
                ident = self._containers.ident(attempt)
                if ident is not None:
                    self._stopped.add(container_name(attempt))
                    self._containers.signal(ident, "SIGKILL" if kill else "SIGTERM")

        self._patience.repeat(signal)

    def remove(self, attempt: Attempt) -> None:
        """Delete the container, its anonymous volumes and the attempt's secrets.

        Nothing happens where they are gone already. The secrets go even if the daemon is away.
        """

        def delete() -> None:
            with docker_errors(f"removing the container of task {attempt.task.id!r}"):
                ident = self._containers.ident(attempt)
                if ident is not None:
                    self._containers.remove(ident)
                    self._heard.pop(ident, None)

        try:
            self._patience.repeat(delete)
        finally:
            secretfiles.remove(attempt)
        self._containers.forget(attempt)
        self._networks.leave(attempt)
        self._stopped.discard(container_name(attempt))

    def leftovers(self, run_id: str, work: Path) -> Sequence[str]:  # noqa: ARG002 - the protocol's
        """Return a line for each container of the run, and for the secrets it has left."""
        with docker_errors(f"listing the containers of run {run_id}"):
            containers = [
                f"container {found['Names'][0].lstrip('/')} ({found['State']})"
                for found in self._containers.of_run(run_id)
            ]
        return [*containers, *secretfiles.leftovers(run_id)]

    def sweep(self, run_id: str, work: Path) -> None:  # noqa: ARG002 - the protocol's
        """Kill and delete every container of the run, and its secrets."""
        with docker_errors(f"removing the containers of run {run_id}"):
            found = self._containers.of_run(run_id)
            self._containers.remove_all([container["Id"] for container in found])
        self._networks.forget(run_id)
        secretfiles.sweep(run_id)

    def wake(self) -> None:
        """Make every `wait` return within about a second, and none block any more."""
        self._woken.set()

    def close(self) -> None:
        """Let go of the connections to the daemon; containers of attempts go on."""
        self._networks.close()
        self._connection.close()


def _contact_mark(attempt: Attempt) -> Path:
    """Name the file that says that the daemon was away while the attempt ran.

    A file, as it is perhaps the next command that sees the end.
    """
    return attempt.control / "contact-lost"


def _gone(name: str) -> Exit:
    return Exit(reason=FailureReason.NODE_LOST, detail=f"the container {name} was removed")
