"""A controller of super_batch gives its sum on every backend, once one import is changed."""

from __future__ import annotations

import difflib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SUM = "9.532962532158818"


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A copy of the example, and of the one whose worker it uses."""
    for name in ("sum_of_powers", "super_batch_migration"):
        shutil.copytree(
            EXAMPLES / name,
            tmp_path / name,
            ignore=shutil.ignore_patterns("__pycache__", ".batchcore", "my_job.json"),
        )
    return tmp_path / "super_batch_migration"


@pytest.fixture(
    params=[
        "local-process",
        pytest.param("local-docker", marks=pytest.mark.docker),
        pytest.param("azure", marks=pytest.mark.docker),
    ]
)
def backend(request: pytest.FixtureRequest) -> str:
    """The name of a backend that is ready to run the example."""
    if request.param != "local-process":
        request.getfixturevalue("worker_image")
    if request.param == "azure":
        request.getfixturevalue("azure_emulator")
    return str(request.param)


def python(*words: str, cwd: Path) -> str:
    """Run a script and return the last line that it printed; fail with all it said."""
    done = subprocess.run(
        [sys.executable, *words], cwd=cwd, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout.splitlines()[-1] if done.stdout else ""


def batch_directory() -> Path:
    return Path(os.environ["HOME"]) / "temp" / "super-batch-test"


def test_the_first_step_changes_one_import(example: Path) -> None:
    before, after = (
        (example / name).read_text().splitlines()[1:] for name in ("before.py", "step1.py")
    )
    changed = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]
    assert changed == ["- import super_batch", "+ from batchcore.compat import super_batch"]


@pytest.mark.parametrize("step", ["step1.py", "step3.py"])
def test_each_step_gives_the_sum(example: Path, backend: str, step: str) -> None:
    assert python(step, "--backend", backend, cwd=example) == SUM


def test_a_variable_chooses_the_backend(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHCORE_BACKEND", "local-process")
    assert python("step1.py", cwd=example) == SUM


def test_results_and_resources_are_where_they_were(example: Path) -> None:
    python("step1.py", "--backend", "local-process", cwd=example)
    names = {path.name for path in batch_directory().iterdir()}
    tasks = {f"task_{i}_{kind}" for i in range(4) for kind in ("output.pickle", "resource.json")}
    assert names == {".batchcore", "config.json", *tasks}


def test_another_process_collects(example: Path, backend: str) -> None:
    python("start.py", "--backend", backend, cwd=example)
    assert json.loads((example / "my_job.json").read_text())["backend"] == backend
    assert python("finish.py", cwd=example) == SUM


@pytest.mark.docker
def test_another_machine_collects_from_azure(
    example: Path, worker_image: str, azure_emulator: object, tmp_path: Path
) -> None:
    python("start.py", cwd=example)
    batch_directory().rename(tmp_path / "gone")
    assert python("finish.py", cwd=example) == SUM
