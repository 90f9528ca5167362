"""The options of `local-process`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class LocalProcessSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `local-process`.

    `slots` is how many processors' worth of tasks run at once, default all processors of this
    machine. `image_paths` says where files of the image are on this machine: a word of a command
    that equals a key is replaced by the value, a path relative to the job's directory.
    """

    slots: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    image_paths: dict[str, str] = {}
