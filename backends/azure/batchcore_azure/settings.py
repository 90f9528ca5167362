"""The options of `azure`: none until it is built."""

from __future__ import annotations

from msgspec import Struct


class AzureSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `azure`; there are none yet."""
