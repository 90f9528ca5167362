"""Attempts without an engine, images that lack something, and a registry of their own."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from batchcore.local.runner import Attempt, Exit
from batchcore.plan import Plan, PlannedTask
from batchcore_localdocker.runner import DockerRunner
from batchcore_localdocker.settings import LocalDockerSettings

if TYPE_CHECKING:
    import docker

WAIT_SECONDS = 60


class Lab:
    """One run: makes attempts and runs them as the engine would, without slots."""

    def __init__(self, folder: Path, image: str) -> None:
        self.folder = folder
        self.image = image
        self.run_id = f"t-{uuid.uuid4().hex[:12]}"
        self.runners: list[DockerRunner] = []

    def runner(self, user: str | None = None, **settings: Any) -> DockerRunner:
        settings.setdefault("pull", "never")
        made = DockerRunner(LocalDockerSettings(**settings), user=user, patience=5)
        self.runners.append(made)
        return made

    def attempt(self, *command: str, task: str = "one", number: int = 1, **fields: Any) -> Attempt:
        fields.setdefault("image", self.image)
        made = Attempt(
            run_id=self.run_id,
            task=PlannedTask(id=task, command=command, **fields),
            number=number,
            directory=self.folder / task / str(number),
            base=self.folder,
        )
        made.working_directory.mkdir(parents=True)
        made.control.mkdir()
        return made

    def python(self, code: str, **fields: Any) -> Attempt:
        return self.attempt("python3", "-c", code, **fields)

    def end(self, attempt: Attempt, runner: DockerRunner | None = None) -> Exit:
        """Run an attempt to its end."""
        runner = runner or self.runner()
        end = runner.start(attempt) or runner.wait(attempt, WAIT_SECONDS)
        assert end is not None, "the container did not end"
        return end

    def plan(self, *tasks: PlannedTask) -> Plan:
        return Plan(name="lab", base=str(self.folder), spec_hash="0", tasks=tasks)


def stdout(attempt: Attempt) -> str:
    return (attempt.task_directory / "stdout.txt").read_text()


@pytest.fixture
def read_stdout() -> Callable[[Attempt], str]:
    return stdout


@pytest.fixture
def lab(tmp_path: Path, worker_base_image: str) -> Iterator[Lab]:
    made = Lab(tmp_path, worker_base_image)
    yield made
    sweeper = made.runner()
    sweeper.sweep(made.run_id, tmp_path)
    assert sweeper.leftovers(made.run_id, tmp_path) == []
    for runner in made.runners:
        runner.wake()
        runner.close()


@pytest.fixture(scope="session")
def build(
    docker_client: docker.DockerClient, worker_base_image: str
) -> Iterator[Callable[..., str]]:
    """Build an image from lines that follow FROM; it is gone after the session."""
    names = []

    def make(*lines: str) -> str:
        name = f"bc-test-{uuid.uuid4().hex[:12]}:v1"
        text = "\n".join([f"FROM {worker_base_image}", *lines])
        docker_client.images.build(fileobj=io.BytesIO(text.encode()), tag=name, rm=True)
        names.append(name)
        return name

    yield make
    for name in names:
        docker_client.images.remove(name, force=True)


@pytest.fixture(scope="session")
def image_without_shell(build: Callable[..., str]) -> str:
    return build('RUN ["python3", "-c", "import os; os.remove(\'/bin/sh\')"]')


class Registry:
    """An image registry that serves one image over HTTP (OCI distribution specification, pull).

    `faults` are statuses to answer with, one a request for a manifest, before it works.
    """

    def __init__(self) -> None:
        self.faults: list[int] = []
        self.manifest_requests = 0
        self._contents: dict[str, tuple[str, bytes]] = {}
        self._make_image()
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                status, kind, body = registry.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Docker-Content-Digest", _digest(body))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815 - the base class's name

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05])
        self._thread.start()
        self.name = f"127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, path: str) -> tuple[int, str, bytes]:
        if path == "/v2/":
            return 200, "application/json", b"{}"
        if "/manifests/" in path:
            self.manifest_requests += 1
            if self.faults:
                return self.faults.pop(0), "application/json", b"{}"
        kind, body = self._contents.get(path, ("", b""))
        if not body:
            error = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
            return 404, "application/json", json.dumps(error).encode()
        return 200, kind, body

    def _make_image(self) -> None:
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            # Not the same in two sessions, so that the daemon has nothing of it.
            tar.addfile(tarfile.TarInfo(f"marker-{uuid.uuid4().hex}"))
        machine = {"x86_64": "amd64", "aarch64": "arm64"}
        config = json.dumps(
            {
                "architecture": machine.get(os.uname().machine, os.uname().machine),
                "os": "linux",
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": [_digest(layer.getvalue())]},
            }
        ).encode()
        parts = {
            "application/vnd.docker.container.image.v1+json": config,
            "application/vnd.docker.image.rootfs.diff.tar": layer.getvalue(),
        }
        described = [
            {"mediaType": part, "size": len(body), "digest": _digest(body)}
            for part, body in parts.items()
        ]
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": kind,
                "config": described[0],
                "layers": described[1:],
            }
        ).encode()
        self.digest = _digest(manifest)
        for part, body in parts.items():
            self._contents[f"/v2/made/blobs/{_digest(body)}"] = (part, body)
        for reference in ("v1", self.digest):
            self._contents[f"/v2/made/manifests/{reference}"] = (kind, manifest)


def _digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


@pytest.fixture
def registry(docker_client: docker.DockerClient) -> Iterator[Registry]:
    made = Registry()
    yield made
    made.close()
    for image in docker_client.images.list(name=f"{made.name}/made"):
        docker_client.images.remove(image.id, force=True)
