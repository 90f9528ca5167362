"""Adding many tasks to an emulated Batch account: by the backend, or the same bodies by bare HTTP.

``azure_loops.py ours|bare URL ACCOUNT RUN COUNT`` prints the seconds from the planned tasks, or
from the finished bodies, until the service has them all. The key is taken from the environment.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from msgspec.structs import replace

from batchcore.backend import RunContext, TaskSubmission
from batchcore.model import Job, Resource, Task
from batchcore.plan import plan_job
from batchcore_azure import translate  # noqa: TID251 - the backend is what is measured
from batchcore_azure.auth import Account  # noqa: TID251 - as above
from batchcore_azure.backend import AzureBackend  # noqa: TID251 - as above
from batchcore_azure.settings import AzureSettings  # noqa: TID251 - as above
from batchcore_azure.storage import Storage  # noqa: TID251 - as above

POOL = "bench"
IN_A_REQUEST = 100
_VERSION = "api-version=2025-06-01"


def main() -> None:
    """Add the tasks once."""
    kind, url, account, run_id, count = sys.argv[1:]
    run, tasks = planned(run_id, int(count))
    settings = settings_of(url, account)
    print((_ours if kind == "ours" else _bare)(settings, run, tasks))


def settings_of(url: str, account: str) -> AzureSettings:
    """Return the options of the backend; nothing is ever sent to the storage."""
    return AzureSettings(
        endpoint=url,
        account_name=account,
        pool=POOL,
        storage_account="bench",
        storage_endpoint="http://127.0.0.1:9/bench",
    )


def planned(run_id: str, count: int) -> tuple[RunContext, list[TaskSubmission]]:
    """Give each task one resource of its own, one that all share, and an output."""
    job = Job(
        "bench",
        image="any:v1",
        command=["python3", "worker.py"],
        resources=[Resource("shared.txt", text="shared")],
        tasks=[
            Task(
                f"task-{number}",
                resources=[Resource("input.txt", text=str(number))],
                outputs=["output.txt"],
            )
            for number in range(count)
        ],
    )
    plan = plan_job(job)
    run = RunContext(run_id=run_id, plan=plan, directory=Path.cwd())
    return run, [TaskSubmission(task, 1) for task in plan.tasks]


def _ours(settings: AzureSettings, run: RunContext, tasks: Sequence[TaskSubmission]) -> float:
    backend = AzureBackend(settings)
    began = time.perf_counter()
    backend.submit(run, tasks)
    seconds = time.perf_counter() - began
    backend.close()
    return seconds


def _bare(settings: AzureSettings, run: RunContext, tasks: Sequence[TaskSubmission]) -> float:
    payloads = list(_payloads(settings, run, tasks))
    client = http.client.HTTPConnection(urlsplit(settings.endpoint or "").netloc)
    began = time.perf_counter()
    _post(client, "/jobs", json.dumps(translate.job_body(run.run_id, POOL, {})).encode())
    for payload in payloads:
        _post(client, f"/jobs/{run.run_id}/addtaskcollection", payload)
    seconds = time.perf_counter() - began
    client.close()
    return seconds


def _payloads(
    settings: AzureSettings, run: RunContext, tasks: Sequence[TaskSubmission]
) -> Iterator[bytes]:
    places = Storage(settings, Account(settings)).places(run, settings.limit_seconds)
    for first in range(0, len(tasks), IN_A_REQUEST):
        bodies = [
            translate.task_body(run.run_id, task, replace(settings, slots_per_node=1), places)
            for task in tasks[first : first + IN_A_REQUEST]
        ]
        yield json.dumps({"value": bodies}).encode()


def _post(client: http.client.HTTPConnection, path: str, body: bytes) -> None:
    headers = {
        "Authorization": "Bearer anybody",
        "Content-Type": "application/json; odata=minimalmetadata",
    }
    client.request("POST", f"{path}?{_VERSION}", body, headers)
    answer = client.getresponse()
    text = answer.read()
    if not http.client.OK <= answer.status <= http.client.CREATED:
        raise SystemExit(text.decode())


if __name__ == "__main__":
    main()
