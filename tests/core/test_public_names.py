"""The names that a user imports, and what importing them costs."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys

import pytest

import batchcore

NAMES = [
    "BatchcoreError",
    "Dependency",
    "FailureReason",
    "Job",
    "JobError",
    "Mount",
    "Output",
    "Requirements",
    "Resource",
    "Run",
    "Task",
    "TaskState",
    "TasksFailed",
    "__version__",
    "attach",
    "load_job",
    "main",
    "run_job",
    "tasks_from_rows",
]


def modules_after(code: str) -> set[str]:
    """Return what a fresh interpreter has imported after running a line."""
    script = f"import json, sys; {code}; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    return set(json.loads(done.stdout))


def test_the_public_names_are_these() -> None:
    assert batchcore.__all__ == NAMES


def test_they_are_sorted() -> None:
    assert sorted(NAMES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(batchcore, name) is not None


@pytest.mark.parametrize("name", [name for name in NAMES if name != "__version__"])
def test_a_public_name_is_the_one_that_it_says(name: str) -> None:
    assert getattr(batchcore, name).__name__ == name


def test_dir_shows_the_public_names() -> None:
    assert dir(batchcore) == sorted(NAMES)


def test_the_version_is_that_of_the_distribution() -> None:
    assert batchcore.__version__ == importlib.metadata.version("batchcore")


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'batchcore' has no attribute 'Jobb'"):
        batchcore.Jobb  # noqa: B018 - what it raises is the point


@pytest.mark.parametrize("library", ["click", "rich", "fsspec", "msgspec", "docker", "azure"])
def test_importing_batchcore_imports_no_library(library: str) -> None:
    assert library not in modules_after("import batchcore")


@pytest.mark.parametrize("library", ["click", "rich", "fsspec", "docker", "azure", "sqlite3"])
def test_building_a_job_imports_only_what_describes_it(library: str) -> None:
    line = "import batchcore as bc; bc.Job('j', command=['x']).with_task('a', outputs=['out'])"
    assert library not in modules_after(line)
