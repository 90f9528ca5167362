"""The options of `local-docker`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=1)]


class LocalDockerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `local-docker`.

    `slots` is how many processors' worth of tasks run at once, default all processors of this
    machine. `network` is ``"bridge"``, Docker's default network, or ``"none"`` for tasks that
    compute and need no other machine. `platform` asks for images of another kind than the
    daemon's own, such as ``"linux/amd64"``. `pull` says when images are fetched: if they are
    ``"missing"`` here, ``"always"`` before a run, or ``"never"``. `pids_limit` is how many
    processes and threads one task may have. `read_only` lets a task write to its own directory
    and ``/tmp`` alone, and not to the rest of its image; for tasks that are not root.
    """

    slots: Count | None = None
    network: Literal["bridge", "none"] = "bridge"
    platform: str | None = None
    pull: Literal["missing", "always", "never"] = "missing"
    pids_limit: Count = 4096
    read_only: bool = False
