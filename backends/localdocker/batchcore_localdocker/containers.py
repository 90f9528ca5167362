"""The containers of attempts: found by name, changed by id, deleted only with the right labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker.errors as sdk  # noqa: TID253 - only loaded once the backend is used

from batchcore.errors import BackendError, Conflict
from batchcore.local.runner import Attempt
from batchcore_localdocker import translate
from batchcore_localdocker.connection import Connection
from batchcore_localdocker.errors import status_of

_CONFLICT = 409
_AT_ONCE = 8


class Containers:
    """What the daemon knows of attempts; raises the SDK's exceptions.

    A name is looked up once and its labels compared; from then on the id is used, as something
    else may get the name.
    """

    def __init__(self, connection: Connection) -> None:
        """Keep the connection; no container is known."""
        self._connection = connection
        self._ids: dict[str, str] = {}

    def create(self, attempt: Attempt, config: Mapping[str, Any], platform: str | None) -> str:
        """Create the attempt's container and return its id.

        Raises `BackendError` (transient) where one of its name has just been created.
        """
        name = translate.container_name(attempt)
        try:
            made = self._connection.client.create_container_from_config(  # type: ignore[no-untyped-call]
                config, name, platform
            )
        except sdk.APIError as exc:
            if status_of(exc) != _CONFLICT:
                raise
            raise BackendError(
                f"another controller makes the container {name!r}", transient=True
            ) from exc
        self._ids[name] = made["Id"]
        return str(made["Id"])

    def find(self, attempt: Attempt) -> Mapping[str, Any] | None:
        """Return the attempt's container as the daemon describes it, None where there is none.

        Raises `Conflict` where the name belongs to something that is not this attempt's.
        """
        name = translate.container_name(attempt)
        try:
            container: dict[str, Any] = self._connection.client.inspect_container(name)
        except sdk.NotFound:
            self.forget(attempt)
            return None
        if not translate.belongs(container, attempt):
            raise Conflict(
                f"the container {name!r} does not belong to task {attempt.task.id!r} "
                f"of run {attempt.run_id}",
                hint=f"see `docker inspect {name}`; rename it, or remove it if nobody needs it",
            )
        self._ids[name] = container["Id"]
        return container

    def ident(self, attempt: Attempt) -> str | None:
        """Return the id of the attempt's container, None where there is none."""
        name = translate.container_name(attempt)
        if name not in self._ids:
            self.find(attempt)
        return self._ids.get(name)

    def forget(self, attempt: Attempt) -> None:
        """Look the name up again the next time."""
        self._ids.pop(translate.container_name(attempt), None)

    def signal(self, ident: str, signal: str) -> None:
        """Signal the container; nothing if it has ended or is gone."""
        try:
            self._connection.client.kill(ident, signal=signal)
        except sdk.NotFound:
            return
        except sdk.APIError as exc:
            if status_of(exc) != _CONFLICT:
                raise

    def remove(self, ident: str) -> None:
        """Kill the container and delete it with its anonymous volumes; nothing if it is gone."""
        try:
            self._connection.client.remove_container(ident, v=True, force=True)
        except sdk.NotFound:
            return
        except sdk.APIError as exc:
            if status_of(exc) != _CONFLICT:  # its removal is under way
                raise

    def remove_all(self, idents: Sequence[str]) -> None:
        """Remove several at once: most of the time each takes is spent waiting."""
        if idents:
            with ThreadPoolExecutor(min(len(idents), _AT_ONCE), "batchcore-remove") as pool:
                list(pool.map(self.remove, idents))

    def of_run(self, run_id: str) -> list[dict[str, Any]]:
        """Return every container of a run, ended ones too, in one call."""
        found = self._connection.client.containers(
            all=True, filters={"label": f"{translate.RUN_LABEL}={run_id}"}
        )
        return sorted(found, key=lambda container: str(container["Names"]))
