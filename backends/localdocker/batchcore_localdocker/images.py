"""What is to be known of an image, here and at its registry."""

from __future__ import annotations

import base64
import json
import stat
import threading
from collections.abc import Mapping
from typing import Any

import docker.errors as sdk  # noqa: TID253 - only loaded once the backend is used
from docker import APIClient  # noqa: TID253 - only loaded once the backend is used
from docker.utils import parse_repository_tag  # noqa: TID253 - only loaded once it is used

from batchcore.errors import BackendError, EnvironmentNotReady
from batchcore_localdocker.connection import CALL_SECONDS, Connection
from batchcore_localdocker.errors import FOREIGN, docker_errors, explanation, status_of
from batchcore_localdocker.translate import RUN_LABEL, ImageFacts

_SHELL = "/bin/sh"
_UNKNOWN = frozenset({400, 401, 403, 404})
_LINKS = 8
# Go's file modes, which the archive API reports, mark a link with this bit ("io/fs", ModeSymlink).
_GO_SYMLINK = 1 << 27
_REFUSALS = (
    "denied",
    "does not exist",
    "invalid reference",
    "manifest unknown",
    "no basic auth",
    "no matching manifest",
    "not found",
    "unauthorized",
)


def refused(text: str) -> bool:
    """Return whether a registry's words mean no for good, and not that it failed to answer."""
    text = text.lower()
    return any(words in text for words in _REFUSALS)


class Images:
    """The daemon's images by name; what is learnt of one is kept, as its content cannot change."""

    def __init__(self, connection: Connection, platform: str | None) -> None:
        """Keep the connection; `platform` is the wanted one, None for the daemon's own."""
        self._connection = connection
        self._platform = platform
        self._lock = threading.Lock()
        self._facts: dict[str, ImageFacts] = {}

    def local(self, name: str) -> Mapping[str, Any] | None:
        """Return the daemon's description of an image, None where it is not here."""
        client = self._connection.client
        with docker_errors(f"looking for the image {name!r}"):
            try:
                image: dict[str, Any] = client.inspect_image(name)  # type: ignore[no-untyped-call]
            except sdk.NotFound:
                return None
        return image if _is_for(image, self._platform) else None

    def registry_digest(self, name: str) -> str:
        """Return the digest that an image's registry offers now, without fetching anything.

        Raises `EnvironmentNotReady` where the registry does not answer and `BackendError`
        (permanent) where it does not know the image or refuses it to this user.
        """
        client = self._connection.client
        try:
            found = client.inspect_distribution(name)  # type: ignore[no-untyped-call]
        except FOREIGN as exc:
            if status_of(exc) in _UNKNOWN or refused(explanation(exc)):
                raise BackendError(explanation(exc)) from exc
            raise EnvironmentNotReady(
                f"the image {name!r} is not on this machine, and its registry does not answer: "
                f"{explanation(exc)}",
                hint=f"type `docker build -t {name} .`, or `docker pull {name}` once it answers",
            ) from exc
        return str(found["Descriptor"]["digest"])

    def facts(self, name: str, run_id: str) -> ImageFacts | None:
        """Return what starting a command needs to know, None where the image is not here.

        The first call looks for a shell in a container that is created, never started, and
        removed; it carries the run's label.
        """
        with self._lock:
            if name not in self._facts:
                image = self.local(name)
                if image is None:
                    return None
                self._facts[name] = self._look_into(image, run_id)
            return self._facts[name]

    def forget(self, name: str) -> None:
        """Look again the next time: the name may mean another image now."""
        with self._lock:
            self._facts.pop(name, None)

    def _look_into(self, image: Mapping[str, Any], run_id: str) -> ImageFacts:
        config = image.get("Config") or {}
        with docker_errors(f"looking into the image {image['Id']}"):
            return ImageFacts(
                id=image["Id"],
                entrypoint=tuple(config.get("Entrypoint") or ()),
                env=tuple(entry.partition("=")[0] for entry in config.get("Env") or ()),
                has_shell=_has_shell(self._connection.client, image["Id"], run_id),
            )


def digest_of(name: str, image: Mapping[str, Any]) -> str:
    """Return what identifies an image that is here: its repository's digest, else its id."""
    repository, _tag = parse_repository_tag(name)
    digests = sorted(
        digest
        for known, _, digest in (entry.partition("@") for entry in image.get("RepoDigests") or ())
        if known in {repository, repository.removeprefix("docker.io/").removeprefix("library/")}
    )
    return digests[0] if digests else str(image["Id"])


def _is_for(image: Mapping[str, Any], platform: str | None) -> bool:
    wanted = (platform or "").split("/")[:2]
    return wanted == [""] or wanted == [image.get("Os"), image.get("Architecture")][-len(wanted) :]


def _has_shell(client: APIClient, image_id: str, run_id: str) -> bool:
    made = client.create_container_from_config(  # type: ignore[no-untyped-call]
        {
            "Image": image_id,
            "Entrypoint": [_SHELL],
            "NetworkDisabled": True,
            "Labels": {RUN_LABEL: run_id, "batchcore.role": "look for a shell"},
        }
    )
    try:
        return _is_program(client, made["Id"], _SHELL)
    finally:
        client.remove_container(made["Id"], v=True, force=True)


def _is_program(client: APIClient, container: str, path: str) -> bool:
    """Follow links as the container would; one that leads nowhere is no program.

    Engine API v1.41, "Get information about files in a container".
    """
    address = f"{client.base_url}/v{client.api_version}/containers/{container}/archive"
    for _link in range(_LINKS):
        answer = client.head(address, params={"path": path}, timeout=CALL_SECONDS)
        if not answer.ok:
            return False
        header = answer.headers["X-Docker-Container-Path-Stat"]
        found = json.loads(base64.b64decode(header))
        if not found["mode"] & _GO_SYMLINK:
            return bool(found["mode"] & stat.S_IXOTH)
        path = found["linkTarget"]
    return False
