"""The emulated cloud, for all tests of this backend."""

from batchcore_azure.emulator.fixture import (  # noqa: F401 - a fixture is had by importing it
    azure_emulator,
    azurite_storage,
)
