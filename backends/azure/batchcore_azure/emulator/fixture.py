"""The pytest fixture `azure_emulator`: an Azure Batch account for each test.

To have it, put ``pytest_plugins = ["batchcore_azure.emulator.fixture"]`` into the conftest.py at
the root of your tests. Azurite is started once for all tests; a machine without it skips them,
or, with ``BATCHCORE_REQUIRE=all``, fails.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from batchcore.errors import EnvironmentNotReady

if TYPE_CHECKING:
    from batchcore_azure.emulator.azurite import Storage
    from batchcore_azure.emulator.cloud import Emulator


@pytest.fixture(scope="session")
def azurite_storage() -> Iterator[Storage]:
    """A storage account in an Azurite that all tests share."""
    from batchcore_azure.emulator.azurite import Azurite

    azurite = Azurite()
    try:
        azurite.start()
    except EnvironmentNotReady as error:
        if os.environ.get("BATCHCORE_REQUIRE") == "all":
            pytest.fail(f"{error} (BATCHCORE_REQUIRE=all forbids to skip)", pytrace=False)
        pytest.skip(f"not on this machine: {error}")
    try:
        yield azurite.storage
    finally:
        azurite.stop()


@pytest.fixture
def azure_emulator(azurite_storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An account with nodes of its own; the environment makes `azure` use it.

    What a test may use: `endpoint`, `account`, `key`, `storage`, `environment`, `state`,
    `faults` and `requests` of `batchcore_azure.emulator.cloud.Emulator`.
    """
    from batchcore_azure.emulator.cloud import Emulator

    with Emulator(storage=azurite_storage) as emulator:
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)
        yield emulator
