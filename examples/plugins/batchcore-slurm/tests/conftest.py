"""The cluster of one node that `tools/slurm.py` starts."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

DIRECTORY = Path("/var/lib/batchcore-slurm")


def _lacking(request: pytest.FixtureRequest, reason: str) -> None:
    """End the test as the tests of the whole repository do for want of a part."""
    found = request.config.pluginmanager.get_plugins()
    lacking = next((p.lacking for p in found if hasattr(p, "lacking")), pytest.skip)
    lacking(reason)


def answers(config: Path) -> bool:
    """Return whether the node of a cluster takes jobs."""
    if shutil.which("sinfo") is None or not config.exists():
        return False
    environment = {**os.environ, "SLURM_CONF": str(config)}
    try:
        done = subprocess.run(
            ["sinfo", "--noheader", "--format=%t"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and bool({"idle", "mix", "alloc"} & set(done.stdout.split()))


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The cluster's directory; programs of Slurm find it through the environment."""
    config = DIRECTORY / "slurm.conf"
    if not answers(config):
        _lacking(request, "no Slurm cluster answers; tools/slurm.py starts one as root on Debian")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(config))
        yield DIRECTORY
