"""Registers `azure`, so that choosing it is answered plainly."""

from __future__ import annotations

from batchcore.backend import FEATURES, BackendSpec, unsupported
from batchcore.hookspecs import hookimpl


@hookimpl
def batchcore_register_backend() -> BackendSpec:
    """Describe `azure` without importing an SDK."""
    return BackendSpec(
        name="azure",
        summary="Azure Batch (not built yet)",
        factory="batchcore_azure.backend:create",
        settings="batchcore_azure.settings:AzureSettings",
        capabilities={feature: unsupported("azure is not built yet") for feature in FEATURES},
    )
