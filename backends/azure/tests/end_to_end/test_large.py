"""A run of 10,000 tasks: what it asks of the service, and what the controller needs for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from batchcore.backend import RunContext, Snapshot, TaskSubmission
from batchcore.model import Job, Task
from batchcore.plan import plan_job
from batchcore.run import Run
from batchcore_azure.backend import AzureBackend
from batchcore_azure.emulator.azurite import Storage
from batchcore_azure.emulator.cloud import Emulator
from batchcore_azure.emulator.faults import Requests
from batchcore_azure.emulator.machines import RunSettings
from batchcore_azure.emulator.service import Service
from batchcore_azure.settings import AzureSettings

TASKS = 10_000
IN_A_REQUEST = 100
ON_A_PAGE = 1_000
CONTROLLER_MEMORY = 200 << 20

MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


class Large(NamedTuple):
    """A run of many tasks that has ended, what was asked for it, and the controller's peak."""

    run: Run
    requests: Requests
    peak: int


class Waiting(NamedTuple):
    """A run of many tasks that wait, and the first poll of them."""

    backend: AzureBackend
    run: RunContext
    service: Service
    first: Snapshot


@pytest.fixture(scope="module")
def large(azurite_storage: Storage, tmp_path_factory: pytest.TempPathFactory) -> Large:
    """Run the tasks by the command line, on machines that execute nothing and upload nothing."""
    here = tmp_path_factory.mktemp("large")
    job = {"name": "large", "image": "any:v1", "command": ["true"]}
    tasks = [{"id": f"task-{number}"} for number in range(TASKS)]
    (here / "job.json").write_text(json.dumps({**job, "tasks": tasks}))
    line = [sys.executable, "-m", "batchcore", "run", "job.json", "--backend=azure", "--dir=run"]
    nodes = RunSettings(instant=True, empty_files=False)
    with Emulator(nodes=nodes, storage=azurite_storage) as emulator:
        # Started by a small process, as a child's peak counts from the memory of who forked it.
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, *line],
            cwd=here,
            env={**os.environ, **emulator.environment, "BATCHCORE_AZURE_AUTOSCALE": "false"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return Large(Run.load(here / "run"), emulator.requests, int(done.stdout) << 10)


pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Waiting]:
    """The tasks of a run in an account that has no machine, and a first poll of them."""
    job = Job(
        "large", image="any:v1", command=["true"], tasks=[Task(f"t{n}") for n in range(TASKS)]
    )
    with Service() as service:
        monkeypatch.setenv("BATCH_ACCOUNT_KEY", service.settings.key)
        monkeypatch.setenv("STORAGE_ACCOUNT_KEY", "Q0FOQVJZ")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        settings = AzureSettings(
            endpoint=service.url,
            account_name=service.settings.account,
            storage_account="store",
            storage_endpoint="http://127.0.0.1:9/store",
        )
        run = RunContext(run_id="large-1", plan=plan_job(job), directory=tmp_path)
        with closing(AzureBackend(settings)) as backend:
            backend.submit(run, [TaskSubmission(task, 1) for task in run.plan.tasks])
            yield Waiting(backend, run, service, backend.poll(run, "", 0))


def test_a_poll_in_which_nothing_changed_is_one_request(waiting: Waiting) -> None:
    assert len(waiting.first.updates) == TASKS
    waiting.service.requests.clear()
    assert waiting.backend.poll(waiting.run, waiting.first.cursor, 0).updates == []
    assert [one.method for one in waiting.service.requests.seen()] == ["GET"]


def test_all_tasks_succeed(large: Large) -> None:
    assert large.run.report(limit=0).counts == {"succeeded": TASKS}


def test_the_controller_stays_small(large: Large) -> None:
    assert large.peak < CONTROLLER_MEMORY


def test_tasks_are_added_by_full_requests(large: Large) -> None:
    assert large.requests.count("POST", "/jobs/*/addtaskcollection") == TASKS // IN_A_REQUEST


def test_the_ends_of_all_tasks_are_learnt_by_lists(large: Large) -> None:
    # At most the first list and a later one of what ended meanwhile.
    assert large.requests.count("GET", "/jobs/*/tasks") <= 3 * TASKS // ON_A_PAGE


def test_nothing_is_asked_for_a_single_task(large: Large) -> None:
    assert large.requests.count(path="/jobs/*/tasks/**") == 0
    adding_and_listing = TASKS // IN_A_REQUEST + 3 * TASKS // ON_A_PAGE
    assert large.requests.count() < adding_and_listing + 30
