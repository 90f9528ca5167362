"""The options of `frozen-v1`."""

from typing import Annotated

from msgspec import Meta, Struct


class FrozenV1Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `frozen-v1`.

    `nice` says how far the tasks give way to other processes of the machine, from 0 (not) to 19.
    """

    nice: Annotated[int, Meta(ge=0, le=19)] = 0
