"""Registers `fault`, the backend for tests that makes another one go wrong."""

from __future__ import annotations

from batchcore.backend import FEATURES, BackendSpec, Capability
from batchcore.hookspecs import hookimpl


@hookimpl
def batchcore_register_backend() -> BackendSpec:
    """Describe `fault` without importing it.

    Which backend is inside is a setting, so this says of every feature that it is the other's;
    what that one lacks is refused by `check`.
    """
    as_inside = Capability("emulated", "as the backend inside has it")
    return BackendSpec(
        name="fault",
        summary="for tests: another backend that goes wrong as told",
        factory="batchcore.testing.fault:create",
        settings="batchcore.testing.fault_settings:FaultSettings",
        capabilities=dict.fromkeys(FEATURES, as_inside),
    )
