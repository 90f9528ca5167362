from __future__ import annotations

import pytest

from batchcore.errors import EnvironmentNotReady
from batchcore.plugins import Plugins


def test_azure_is_registered_through_the_same_door_as_every_backend():
    assert Plugins().spec("azure").name == "azure"


def test_using_azure_is_answered_plainly():
    plugins = Plugins()
    with pytest.raises(EnvironmentNotReady, match="not built yet") as caught:
        plugins.create("azure", plugins.settings_type("azure")())
    assert "local-docker" in caught.value.hint
