"""The one loop, from a plan to the end of all its tasks, and what it needs on the way."""

from __future__ import annotations

from batchcore.driver.driver import (
    CANCEL_SECONDS,
    Driver,
    Policy,
    patience_to_cancel,
)

__all__ = [
    "CANCEL_SECONDS",
    "Driver",
    "Policy",
    "patience_to_cancel",
]
