"""Real parts for the core's tests: a web server on loopback, a user without rights, a full disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest

from batchcore.errors import JobError, Problem
from batchcore.model import Job, Task
from batchcore.plan import plan_job
from batchcore.record import Header
from conftest import lacking

NOBODY = 65534


class Site:
    """A directory that a web server on loopback serves."""

    def __init__(self, root: Path, address: str, requests: list[str]) -> None:
        self.root = root
        self.address = address
        self.requests = requests

    def put(self, name: str, content: bytes) -> str:
        (self.root / name).write_bytes(content)
        return f"{self.address}/{name}"


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, seen: list[str], **fields: Any) -> None:
        self._seen = seen
        super().__init__(*args, **fields)

    def log_message(self, _format: str, *args: object) -> None:
        self._seen.append(str(args[0]))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    root = tmp_path / "site"
    root.mkdir()
    seen: list[str] = []
    handler = partial(_Handler, directory=str(root), seen=seen)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield Site(root, f"http://127.0.0.1:{server.server_port}", seen)
        server.shutdown()
        thread.join()


@pytest.fixture
def memory() -> Iterator[str]:
    """The URL of an empty place in fsspec's memory file system."""
    name = f"/test-{uuid.uuid4().hex}"
    yield f"memory:/{name}"
    filesystem = fsspec.filesystem("memory")
    if filesystem.exists(name):
        filesystem.rm(name, recursive=True)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that any user of this machine can reach, unlike tmp_path."""
    path = Path(tempfile.mkdtemp(prefix="batchcore-test-"))
    path.chmod(0o755)
    yield path
    subprocess.run(["chmod", "-R", "u+rwX", str(path)], check=True)
    shutil.rmtree(path)


@pytest.fixture
def without_rights() -> Callable[[], AbstractContextManager[None]]:
    """A block in which permissions count, also where the tests run as root."""

    @contextmanager
    def block() -> Iterator[None]:
        before = os.geteuid()
        if before == 0:
            os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(before)

    return block


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        lacking("no small file system can be mounted here (it takes root)")
    yield place
    # Lazily: a test that failed may have left a file open in it.
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def problems_of() -> Callable[..., list[Problem]]:
    """Return a function that calls another one, which must refuse, and returns its problems."""

    def call(function: Callable[..., object], *args: Any, **fields: Any) -> list[Problem]:
        with pytest.raises(JobError) as caught:
            function(*args, **fields)
        return list(caught.value.problems)

    return call


@pytest.fixture
def header(tmp_path: Path) -> Callable[..., Header]:
    """Return a function that makes the header of a run of these tasks."""

    def make(*ids: str, run_id: str = "run-1", name: str = "job") -> Header:
        job = Job(name, command=["true"], tasks=[Task(i) for i in ids or ("a", "b", "c")])
        plan = plan_job(job, base=tmp_path)
        return Header(
            run_id=run_id,
            backend="memory",
            created_at=1.0,
            version="0",
            spec_hash=plan.spec_hash,
            job=job,
            plan=plan,
        )

    return make


@pytest.fixture
def descriptors() -> Callable[[], int]:
    """Return a function that counts this process's open files."""
    return lambda: len(list(Path("/proc/self/fd").iterdir()))
