"""A Batch account whose machines are moved by the test: the real SDK talks to it over HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from batchcore.backend import RunContext, TaskSubmission, TaskUpdate
from batchcore.plan import Plan, PlannedTask
from batchcore.testing.clock import FakeClock
from batchcore_azure.auth import Account
from batchcore_azure.emulator.call import no_nodes
from batchcore_azure.emulator.records import Job, Pool
from batchcore_azure.emulator.service import Service
from batchcore_azure.emulator.settings import EmulatorSettings
from batchcore_azure.jobs import Jobs
from batchcore_azure.pool import Condition
from batchcore_azure.settings import AzureSettings
from batchcore_azure.tasks import Rejection, Tasks
from batchcore_azure.translate import Places, task_body
from batchcore_azure.watch import Watch

POOL = "lab-pool"
PLACES = Places(resource_url=lambda key: f"http://store/{key}", output_container="http://store/o")


class Formulas:
    """Evaluates scaling formulas; all of them fail with `fault` once that is set."""

    fault = ""

    def __call__(self, pool: Pool, formula: str) -> str:
        if self.fault:
            raise ValueError(self.fault)
        return no_nodes(pool, formula)


class Lab:
    """One run on an emulated account; `state` is the account, `clock` the controller's."""

    formulas: Formulas

    def __init__(self, service: Service, folder: Path) -> None:
        self.service = service
        self.state = service.state
        self.folder = folder
        self.news: list[str] = []
        self.clock = FakeClock(time.time())
        # One time for both: what the controller waits passes for the service too.
        service.state._clock = lambda: datetime.fromtimestamp(self.clock.now(), UTC)
        self.settings = AzureSettings(
            endpoint=service.url,
            account_name=service.settings.account,
            storage_account="store",
            storage_endpoint="http://127.0.0.1:9/store",
        )
        self.environ = {
            "BATCH_ACCOUNT_KEY": service.settings.key,
            "STORAGE_ACCOUNT_KEY": "Q0FOQVJZ",
        }
        self.account = Account(self.settings, self.environ)
        self.condition = Condition()
        self.jobs = Jobs(self.account, lambda _run: POOL)
        self.tasks = self.new_tasks()

    def new_tasks(self) -> Tasks:
        """Return what a new process would have: no memory of the jobs."""
        self.jobs = Jobs(self.account, lambda _run: POOL)
        return Tasks(self.account, self.jobs, self.clock.sleep)

    def run(self, *ids: str, spec: str = "5bec", run_id: str = "r-1", **fields: Any) -> RunContext:
        tasks = tuple(planned(task_id, **fields) for task_id in ids)
        plan = Plan(name="lab", base=str(self.folder), spec_hash=spec, tasks=tasks)
        return RunContext(run_id=run_id, plan=plan, directory=self.folder, notify=self.news.append)

    def run_of(self, run: RunContext, tasks: tuple[PlannedTask, ...]) -> RunContext:
        return replace(run, plan=replace(run.plan, tasks=tasks))

    def place(
        self, run: RunContext, attempt: int = 1, tasks: Tasks | None = None
    ) -> tuple[dict[str, str], dict[str, Rejection]]:
        wanted = [TaskSubmission(task, attempt) for task in run.plan.tasks]
        return (tasks or self.tasks).place(
            run, attempt, wanted, lambda s: task_body(run.run_id, s, self.settings, PLACES)
        )

    def watch(self, run: RunContext, **settings: Any) -> Watch:
        changed = AzureSettings(
            **{f: getattr(self.settings, f) for f in ("endpoint", "account_name")} | settings
        )
        return Watch(
            run,
            self.account,
            self.jobs,
            settings=changed,
            condition=lambda: self.condition,
            clock=self.clock,
        )

    def begin(self, run: RunContext, attempt: int = 1, **settings: Any) -> Watch:
        """Submit every task of a run and return what watches them."""
        watch = self.watch(run, **settings)
        placed, rejected = self.place(run, attempt)
        watch.expect(attempt, placed)
        watch.refuse(attempt, rejected)
        return watch

    def job(self, job_id: str = "r-1") -> Job:
        return self.state.job(job_id)

    def ids(self, job_id: str = "r-1") -> list[str]:
        return [task.id for task in self.state.tasks_of(job_id)]

    def start(self, task_id: str, job_id: str = "r-1") -> None:
        node = self.state.add_node(POOL, state="idle")
        self.state.start_task(job_id, task_id, POOL, node.id)

    def end(self, task_id: str, code: int = 0, job_id: str = "r-1") -> None:
        """Let a task run and exit."""
        self.start(task_id, job_id)
        self.complete(task_id, code, job_id)

    def complete(self, task_id: str, code: int = 0, job_id: str = "r-1", **info: Any) -> None:
        result = "failure" if code else "success"
        stamp = self.state.stamp()
        end: dict[str, Any] = {"exitCode": code, "result": result, "endTime": stamp, **info}
        self.state.set_task_state(job_id, task_id, "completed", **end)


def planned(task_id: str, **fields: Any) -> PlannedTask:
    given = {"command": ("true",), "image": "app:v1", "spec_hash": f"hash-{task_id}"}
    return PlannedTask(id=task_id, **given | fields)


def states(updates: Any) -> dict[str, str]:
    """Return the last state told of each task."""
    found: list[TaskUpdate] = list(updates)
    return {update.task_id: str(update.state) for update in found}


@pytest.fixture
def show() -> Any:
    return states


@pytest.fixture
def formulas() -> Formulas:
    return Formulas()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, formulas: Formulas) -> Iterator[Service]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    made = Service(EmulatorSettings())
    made.start(evaluate=formulas)
    try:
        made.state.create_pool(
            {
                "id": POOL,
                "vmSize": "Standard_D2s_v5",
                "targetDedicatedNodes": 1,
                "taskSlotsPerNode": 4,
                "virtualMachineConfiguration": {
                    "imageReference": {
                        "publisher": "microsoft-dsvm",
                        "offer": "ubuntu-hpc",
                        "sku": "2404",
                    },
                    "nodeAgentSKUId": "batch.node.ubuntu 24.04",
                    "containerConfiguration": {"type": "dockerCompatible"},
                },
            }
        )
        yield made
    finally:
        made.stop()


@pytest.fixture
def lab(service: Service, formulas: Formulas, tmp_path: Path) -> Iterator[Lab]:
    made = Lab(service, tmp_path)
    made.formulas = formulas
    yield made
    made.account.close()
