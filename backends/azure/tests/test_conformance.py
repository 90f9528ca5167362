"""`azure` keeps the contract: emulated Batch, real storage, real containers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from batchcore.testing import BackendConformance, Opened, Subject
from batchcore_azure.emulator.azurite import Storage
from batchcore_azure.emulator.cloud import Emulator
from batchcore_azure.emulator.machines import RunSettings

OPTIONS = {
    "nodes": 1,
    "slots_per_node": 4,
    "autoscale": False,
    # Batch starts a task again by itself, and the interruption shows only when it gives up.
    "max_requeues": 0,
}


@pytest.mark.docker
class TestAzure(BackendConformance):
    @pytest.fixture
    def emulator(
        self, azurite_storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Emulator]:
        """An account whose machines are less patient than Azure's."""
        with Emulator(nodes=RunSettings(grace_seconds=2), storage=azurite_storage) as emulator:
            for name, value in emulator.environment.items():
                monkeypatch.setenv(name, value)
            yield emulator

    @pytest.fixture
    def subject(self, emulator: Emulator, worker_base_image: str) -> Subject:
        def lose(_run: Opened, _task_id: str) -> None:
            """Let the only machine disappear, and another one come."""
            (pool,) = emulator.state.pools()
            (node,) = emulator.state.nodes_of(pool.id)
            emulator.state.lose_node(pool.id, node.id)
            emulator.state.add_node(pool.id)

        return Subject(
            backend="azure",
            options=OPTIONS,
            image=worker_base_image,
            copies=20,
            interrupt=lose,
        )
