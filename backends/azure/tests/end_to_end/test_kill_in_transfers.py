"""``kill -9`` of the controller in the middle of a transfer: nothing half is seen or sent twice."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchcore import crash
from batchcore.testing.faultproxy import Fault, FaultProxy, Request
from batchcore_azure.blocks import BLOCK

pytestmark = pytest.mark.docker

LARGE = 3 * BLOCK + 7
FILES = 20
RECORDED = 5


@pytest.fixture
def killed(
    cloud: Any, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str, int], None]:
    """Run the job and kill its controller as soon as the n-th request of a kind comes."""

    def run(method: str, path: str, number: int) -> None:
        ask = proxy.fault_of

        def watch(request: Request) -> Fault | None:
            fault = ask(request)
            if proxy.count(method, path) >= number:
                cloud.children[0].kill()
            return fault

        with monkeypatch.context() as watching:
            watching.setattr(proxy, "fault_of", watch)
            assert cloud.start().wait(60) == -signal.SIGKILL

    return run


def files_in(directory: Path) -> dict[str, bytes]:
    """Return every file below a directory; what is hidden counts too."""
    found = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


def test_a_large_resource_that_was_half_sent_arrives_whole(
    cloud: Any, proxy: FaultProxy, killed: Callable[..., None]
) -> None:
    content = os.urandom(LARGE)
    (cloud.here / "in").write_bytes(content)
    task = {"id": "t", "shell": "sha256sum < in > out", "outputs": ["out"]}
    cloud.job(task, resources=[{"path": "in", "source": "in"}])
    killed("PUT", r"/batchcore/", 2)
    assert cloud.blobs_of("batchcore") == []
    done = cloud.run()
    assert done.code == 0, done.err
    (path,) = cloud.loaded().output_files
    assert Path(path).read_text().split()[0] == hashlib.sha256(content).hexdigest()


def test_what_was_sent_and_recorded_is_not_sent_again(
    cloud: Any, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [{"path": f"in/{n}", "text": f"{n}\n"} for n in range(FILES)]
    cloud.job({"id": "t", "shell": "cat in/* | sort -n > out", "outputs": ["out"]}, resources=given)
    with monkeypatch.context() as patch:
        patch.setenv(crash.VARIABLE, f"stage.recorded:{RECORDED}")
        assert cloud.process().code == -signal.SIGKILL
    before = proxy.count("PUT", "/batchcore/.*/resources/")
    done = cloud.run()
    assert done.code == 0, done.err
    assert proxy.count("PUT", "/batchcore/.*/resources/") - before == FILES - RECORDED
    (path,) = cloud.loaded().output_files
    assert Path(path).read_text().split() == [str(n) for n in range(FILES)]


def test_an_output_that_was_half_fetched_is_fetched_anew_and_nothing_of_the_half_stays(
    cloud: Any, proxy: FaultProxy, killed: Callable[..., None]
) -> None:
    cloud.job({"id": "t", "shell": f"yes | head -c {LARGE} > out", "outputs": ["out"]})
    killed("GET", r"/wd/out$", 2)
    outputs = cloud.directory / "outputs"
    assert files_in(outputs) == {}
    done = cloud.run()
    assert done.code == 0, done.err
    assert files_in(outputs) == {"t/out": (b"y\n" * LARGE)[:LARGE]}
    assert len(cloud.starts) == 1
    left = [name for name, data in files_in(cloud.directory).items() if len(data) > BLOCK]
    assert left == ["outputs/t/out"]
