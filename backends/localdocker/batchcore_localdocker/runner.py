"""Runs an attempt in a container of its own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker.errors as sdk  # noqa: TID253 - only loaded once the backend is used
import requests

from batchcore.backend import Check
from batchcore.errors import BackendError, Conflict
from batchcore.local.runner import Attempt, Exit
from batchcore.plan import Plan, PlannedTask
from batchcore.states import FailureReason
from batchcore_localdocker import translate
from batchcore_localdocker.check import check_plan
from batchcore_localdocker.connection import Connection
from batchcore_localdocker.ending import read_exit
from batchcore_localdocker.errors import docker_errors, explanation, status_of, timed_out
from batchcore_localdocker.images import Images
from batchcore_localdocker.pull import pull
from batchcore_localdocker.settings import LocalDockerSettings

_SLICE = 1.0
_SHORTEST_SLICE = 0.02
_CONFLICT = 409
_SERVER_ERROR = 500
# The programs that make a container's processes; what they report will not change by itself.
_CONTAINER_MAKERS = ("OCI runtime", "runc")


class DockerRunner:
    """Runs attempts in containers that are found again by name, whoever created them.

    Every container is the attempt's alone, runs as the caller without capabilities, and stays
    until `remove`. Nothing is deleted that does not carry the run's label.
    """

    def __init__(self, settings: LocalDockerSettings, user: str | None = None) -> None:
        """Keep the settings; `user` is ``uid:gid``, default the caller's. Nothing is connected."""
        self._settings = settings
        self._user = user or f"{os.getuid()}:{os.getgid()}"
        self._connection = Connection(settings.slots)
        self._images = Images(self._connection, settings.platform)
        self._fetched: set[str] = set()
        self._ids: dict[str, str] = {}
        self._stopped: set[str] = set()
        self._contact_lost: set[str] = set()
        self._woken = threading.Event()

    def check(self, plan: Plan) -> Check:
        """Say whether the plan can run here; see `check_plan`."""
        return check_plan(plan, self._connection, self._images, self._settings)

    def prepare(self, tasks: Sequence[PlannedTask], notify: Callable[[str], None]) -> None:
        """Fetch the images that are not here, or all of them where settings say so; each once.

        Raises `BackendError`: permanent where an image cannot be had, transient where its
        registry failed to answer four times.
        """
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
        image = attempt.task.image or ""
        with docker_errors(f"starting task {attempt.task.id!r}"):
            facts = self._images.facts(image, attempt.run_id)
            try:
                if facts is None or not self._create(attempt, facts):
                    return self._adopt(attempt, image)
            except sdk.ImageNotFound:
                self._images.forget(image)
                return _no_image(image)
            except sdk.APIError as exc:
                return _refused(exc)
            return self._start(attempt)

    def _create(self, attempt: Attempt, facts: translate.ImageFacts) -> bool:
        """Create the container; False where there is one of this name."""
        name = translate.container_name(attempt)
        config = translate.container_config(attempt, facts, self._settings, self._user)
        try:
            made = self._connection.client.create_container_from_config(  # type: ignore[no-untyped-call]
                config, name, self._settings.platform
            )
        except sdk.APIError as exc:
            if status_of(exc) != _CONFLICT:
                raise
            return False
        self._ids[name] = made["Id"]
        return True

    def _adopt(self, attempt: Attempt, image: str) -> Exit | None:
        container = self._find(attempt)
        if container is None:
            return _no_image(image)
        if container["State"]["Status"] == "created":
            return self._start(attempt)
        return None

    def _start(self, attempt: Attempt) -> Exit | None:
        client, ident = self._connection.client, self._ids[translate.container_name(attempt)]
        try:
            client.start(ident)
        except sdk.NotFound as exc:
            raise BackendError(f"the container of task {attempt.task.id!r} is gone", transient=True) from exc
        except sdk.APIError as exc:
            failure = _refused(exc)
            client.remove_container(ident, v=True, force=True)
            return failure
        return None

    def _find(self, attempt: Attempt) -> Mapping[str, Any] | None:
        """Return the attempt's container as the daemon describes it, None where there is none."""
        name = translate.container_name(attempt)
        try:
            container: dict[str, Any] = self._connection.client.inspect_container(name)
        except sdk.NotFound:
            self._ids.pop(name, None)
            return None
        if not translate.belongs(container, attempt):
            raise Conflict(
                f"the container {name!r} does not belong to task {attempt.task.id!r}",
                hint=f"see `docker inspect {name}`; rename or remove it if it is not needed",
            )
        self._ids[name] = container["Id"]
        return container

    def _ident(self, attempt: Attempt) -> str | None:
        """Return the id of the attempt's container: by name, something else could be meant."""
        name = translate.container_name(attempt)
        if name not in self._ids:
            self._find(attempt)
        return self._ids.get(name)

    def wait(self, attempt: Attempt, timeout: float | None) -> Exit | None:
        """Wait for the container's end; on return of an `Exit` the logs are complete files.

        Returns within about a second of a `wake`. Transient: the daemon did not answer.
        """
        name = translate.container_name(attempt)
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            with docker_errors(f"waiting for task {attempt.task.id!r}"):
                while not self._woken.is_set():
                    left = _SLICE if deadline is None else deadline - time.monotonic()
                    exit_ = self._exit_within(attempt, min(max(left, _SHORTEST_SLICE), _SLICE))
                    if exit_ is not None or left <= 0:
                        return exit_
        except BackendError as exc:
            if exc.transient:
                self._contact_lost.add(name)
            raise
        return None

    def _exit_within(self, attempt: Attempt, seconds: float) -> Exit | None:
        """Return the exit if the container ends within so many seconds, or has ended."""
        client, name = self._connection.client, translate.container_name(attempt)
        ident = self._ident(attempt)
        try:
            if ident is None:
                return _gone(name)
            client.wait(ident, timeout=seconds)
            container: dict[str, Any] = client.inspect_container(ident)
            if container["State"]["Running"]:
                return None
            return read_exit(
                client,
                attempt,
                container,
                stopped=name in self._stopped,
                contact_lost=name in self._contact_lost,
            )
        except sdk.NotFound:
            return _gone(name)
        except requests.RequestException as exc:
            if timed_out(exc):
                return None
            raise

    def stop(self, attempt: Attempt, *, kill: bool) -> None:
        """Send TERM to the command's process group, or KILL to everything in the container."""
        with docker_errors(f"stopping task {attempt.task.id!r}"):
            ident = self._ident(attempt)
            if ident is None:
                return
            self._stopped.add(translate.container_name(attempt))
            try:
                self._connection.client.kill(ident, signal="SIGKILL" if kill else "SIGTERM")
            except sdk.NotFound:
                return
            except sdk.APIError as exc:
                if status_of(exc) != _CONFLICT:
                    raise

    def remove(self, attempt: Attempt) -> None:
        """Delete the container and its anonymous volumes; nothing if it is gone already."""
        name = translate.container_name(attempt)
        with docker_errors(f"removing the container of task {attempt.task.id!r}"):
            ident = self._ident(attempt)
            if ident is not None:
                self._remove(ident)
        self._ids.pop(name, None)
        self._stopped.discard(name)
        self._contact_lost.discard(name)

    def _remove(self, ident: str) -> None:
        try:
            self._connection.client.remove_container(ident, v=True, force=True)
        except sdk.NotFound:
            return
        except sdk.APIError as exc:
            if status_of(exc) != _CONFLICT:  # somebody else is at it
                raise

    def leftovers(self, run_id: str, work: Path) -> Sequence[str]:
        """Return a line for each container of the run."""
        return [f"container {c['Names'][0].lstrip('/')} ({c['State']})" for c in self._of(run_id)]

    def sweep(self, run_id: str, work: Path) -> None:
        """Kill and delete every container of the run."""
        with docker_errors(f"removing the containers of run {run_id}"):
            for container in self._of(run_id):
                self._remove(container["Id"])

    def _of(self, run_id: str) -> list[dict[str, Any]]:
        with docker_errors(f"listing the containers of run {run_id}"):
            found = self._connection.client.containers(
                all=True, filters={"label": f"{translate.RUN_LABEL}={run_id}"}
            )
            return sorted(found, key=lambda c: str(c["Names"]))

    def wake(self) -> None:
        """Make every `wait` return within about a second, and none block any more."""
        self._woken.set()

    def close(self) -> None:
        """Let go of the connections to the daemon; containers go on."""
        self._connection.close()


def _no_image(image: str) -> Exit:
    return Exit(
        reason=FailureReason.IMAGE,
        detail=f"there is no image {image!r} on this machine any more",
        retryable=False,
    )


def _gone(name: str) -> Exit:
    return Exit(reason=FailureReason.NODE_LOST, detail=f"the container {name} was removed")


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
