"""`local-docker` keeps the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batchcore.testing import BackendConformance, Opened, Subject

if TYPE_CHECKING:
    import docker


@pytest.mark.docker
class TestLocalDocker(BackendConformance):
    @pytest.fixture
    def subject(self, docker_client: docker.DockerClient, worker_base_image: str) -> Subject:
        def lose(run: Opened, task_id: str) -> None:
            """Remove the container of the first attempt behind the backend's back."""
            name = f"bc-{run.context.run_id}-{task_id}-1"
            docker_client.containers.get(name).remove(force=True)

        return Subject(backend="local-docker", image=worker_base_image, copies=30, interrupt=lose)
