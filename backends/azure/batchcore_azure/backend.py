"""Answers for the `azure` backend until it is built."""

from __future__ import annotations

from typing import NoReturn

from batchcore.errors import EnvironmentNotReady
from batchcore_azure.settings import AzureSettings


def create(settings: AzureSettings) -> NoReturn:  # noqa: ARG001 - every factory takes its settings
    """Raise `EnvironmentNotReady` (permanent): there is no Azure backend in this version."""
    raise EnvironmentNotReady(
        "the azure backend is not built yet in this version",
        hint="use --backend local-docker or --backend local-process",
    )
