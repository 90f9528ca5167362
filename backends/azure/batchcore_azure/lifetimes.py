"""How long a signed URL must be valid: from before its task is added until its files are up. Pure.

All times are seconds; moments are seconds since the epoch.
"""

from __future__ import annotations

from msgspec import Struct

from batchcore.units import show_seconds

EARLIER = 15 * 60.0
"""A URL is valid from so long before now, for a clock that differs from Azure's."""

MARGIN = 3600.0
"""For moving the files in and out, and for what a machine takes to start."""

LONGEST_DELEGATION = 7 * 86400.0
"""A user delegation key, and what is signed with it, lives no longer ("Create a user delegation
SAS", Microsoft Learn)."""


class Lifetime(Struct, frozen=True):
    """From when until when a signed URL is valid."""

    start: float
    expiry: float

    @property
    def seconds(self) -> float:
        """Return how long it is valid altogether."""
        return self.expiry - self.start


def needed(queue: float, limit: float) -> float:
    """Return how long a task's URLs are used: waiting, running, and a margin."""
    return queue + limit + MARGIN


def lifetime(now: float, queue: float, limit: float) -> Lifetime:
    """Return the times of the URLs for a task that may run for `limit`."""
    return Lifetime(now - EARLIER, now + needed(queue, limit))


def fault(queue: float, limit: float, *, delegated: bool) -> str:
    """Return why no URL can live long enough, empty where one can.

    A SAS that a key signs has no limit of its own.
    """
    wanted = needed(queue, limit) + EARLIER
    if not delegated or wanted <= LONGEST_DELEGATION:
        return ""
    return (
        f"its signed URLs would have to live {show_seconds(wanted)}, "
        f"and those of Entra ID live {show_seconds(LONGEST_DELEGATION)} at most"
    )
