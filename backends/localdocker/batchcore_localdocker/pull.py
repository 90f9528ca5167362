"""Fetching an image: with news for people, and again where the registry stumbled."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from docker import APIClient  # noqa: TID253 - only loaded once the backend is used
from docker.utils import parse_repository_tag  # noqa: TID253 - only loaded once it is used

from batchcore import units
from batchcore.errors import BackendError
from batchcore_localdocker.errors import FOREIGN, backend_error, explanation
from batchcore_localdocker.images import refused

TRIES = 4
FIRST_DELAY = 1.0
_NEWS_SECONDS = 2.0


class Progress:
    """Turns the daemon's many messages into a line every two seconds."""

    def __init__(
        self,
        name: str,
        notify: Callable[[str], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep whom to tell about which image."""
        self._name = name
        self._notify = notify
        self._now = now
        self._last = now()
        self._layers: dict[str, tuple[int, int]] = {}

    def see(self, message: Mapping[str, Any]) -> None:
        """Take in a message of the daemon; tell if it is time to."""
        size = message.get("progressDetail") or {}
        if message.get("status") == "Downloading" and "total" in size:
            self._layers[message["id"]] = (int(size["current"]), int(size["total"]))
        elif message.get("status") == "Download complete" and message["id"] in self._layers:
            total = self._layers[message["id"]][1]
            self._layers[message["id"]] = (total, total)
        if self._layers and self._now() - self._last >= _NEWS_SECONDS:
            self._last = self._now()
            done, total = (sum(part) for part in zip(*self._layers.values(), strict=True))
            self._notify(
                f"pulling {self._name}: {units.show_bytes(done)} of {units.show_bytes(total)}"
            )


def pull(
    client: APIClient,
    name: str,
    platform: str | None,
    notify: Callable[[str], None],
    pause: Callable[[float], object],
) -> None:
    """Fetch an image; on return it is here.

    Tries four times with a jittered delay that doubles; `pause` is how to wait. Credentials are
    those of Docker's own configuration and are not kept. Raises `BackendError`: permanent where
    the registry does not have the image or refuses it, transient where it failed to answer.
    """
    notify(f"pulling {name}")
    for tried in range(1, TRIES + 1):
        try:
            _pull_once(client, name, platform, notify)
        except BackendError as exc:
            if not exc.transient or tried == TRIES:
                raise
            notify(f"pulling {name} failed and is tried again: {exc.reason}")
            jitter = random.uniform(0.5, 1.5)  # noqa: S311 - spreads retries, guards nothing
            pause(FIRST_DELAY * 2 ** (tried - 1) * jitter)
        else:
            notify(f"pulled {name}")
            return


def _pull_once(
    client: APIClient, name: str, platform: str | None, notify: Callable[[str], None]
) -> None:
    repository, tag = parse_repository_tag(name)
    progress = Progress(name, notify)
    try:
        messages = client.pull(
            repository, tag=tag or "latest", stream=True, decode=True, platform=platform
        )
        for message in messages:
            if "error" in message:
                raise _failure(name, str(message["error"]), transient=True)
            progress.see(message)
    except FOREIGN as exc:
        transient = backend_error(exc, "").transient
        raise _failure(name, explanation(exc), transient=transient) from exc


def _failure(name: str, text: str, *, transient: bool) -> BackendError:
    return BackendError(
        f"the image {name!r} could not be pulled: {' '.join(text.split())}",
        hint=f"type `docker pull {name}` to see more; `docker login` where access is denied",
        transient=transient and not refused(text),
    )
