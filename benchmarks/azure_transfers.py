"""The transfers that `bench_azure_data` measures: a run's own, and those of adlfs alone.

``azure_transfers.py WAY WHAT DIRECTORY COUNT`` does it once and prints the figure.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from adlfs import (  # type: ignore[import-untyped]
    AzureBlobFileSystem,
)

import batchcore as bc
from batchcore import backend
from batchcore.driver.finish import Gatherer
from batchcore.plan import plan_job
from batchcore.states import TaskState
from batchcore.transfer.collect import publish
from batchcore.transfer.stage import stage
from batchcore_azure.auth import Account  # noqa: TID251 - what is measured
from batchcore_azure.blobs import BlobFileSystem  # noqa: TID251 - what is measured
from batchcore_azure.fast import FastFileSystem  # noqa: TID251 - what is measured
from batchcore_azure.settings import AzureSettings  # noqa: TID251 - what is measured
from batchcore_azure.storage import Storage  # noqa: TID251 - what is measured

ENDPOINT = "http://127.0.0.1:9"  # of Batch, which is not asked
OUTPUTS = "bench-outputs"


class Ours:
    """The transfers of a run, without Batch."""

    def __init__(self, how: str, place: Path, count: int) -> None:
        """Reach the account that the environment names."""
        settings = AzureSettings(endpoint=ENDPOINT)
        self.account = Account(settings)
        self.storage = Storage(settings, self.account)
        self.files = (FastFileSystem if how == "fast" else BlobFileSystem)(self.account)
        self.place, self.count = place, count
        self.directory = place / f"made-{how}-{time.time_ns()}"

    def filesystem(self, url: str) -> tuple[Any, str]:
        """Open a URL as the backend does."""
        return self.files, url.removeprefix("az://")

    def outputs(self, _run: object, attempt: Any) -> backend.TaskFiles:
        """Say where an attempt's files are."""
        name = "large" if attempt.task.id == "large" else "small"
        return backend.TaskFiles(tree=f"az://{OUTPUTS}/{name}")

    def stage(self) -> float:
        """Stage the small files; return the seconds."""
        return self._stage(1)[0]

    def again(self) -> float:
        """Stage twice; return how many files the second time sent."""
        return self._stage(2)[1]

    def _stage(self, times: int) -> tuple[float, int]:

        tasks = [
            bc.Task(f"t{n}", resources=[bc.Resource("in", source=f"in/{n}")])
            for n in range(self.count)
        ]
        plan = plan_job(bc.Job("bench", command=["x"], tasks=list(tasks)), base=self.place)
        run = backend.RunContext(
            run_id=f"bench-{time.time_ns()}", plan=plan, directory=self.directory
        )
        store = self.storage.store(run)
        planned = [file for task in plan.tasks for file in task.files]
        staged: dict[str, Any] = {}
        began = time.perf_counter()
        sent = 0
        for _ in range(times):
            sent = stage(planned, store, staged, staged.__setitem__, self.filesystem)
        return time.perf_counter() - began, sent

    def collect(self) -> float:
        """Gather and publish a file of each of many tasks; return the seconds."""
        return self._collect(
            bc.Task(f"t{n}", outputs=[bc.Output(str(n), to=f"o/{n}")]) for n in range(self.count)
        )

    def large(self) -> float:
        """Gather and publish one large file; return the seconds."""
        return self._collect([bc.Task("large", outputs=["large"])])

    def _collect(self, tasks: Iterable[bc.Task]) -> float:

        plan = plan_job(bc.Job("bench", command=["x"], tasks=list(tasks)), base=self.place)
        run = backend.RunContext(
            run_id="bench", plan=plan, directory=self.directory, store="az://bench"
        )
        ends = [
            (
                task,
                backend.TaskUpdate(
                    task_id=task.id, attempt=1, state=TaskState.SUCCEEDED, exit_code=0
                ),
            )
            for task in plan.tasks
        ]
        began = time.perf_counter()
        stands_for_both: Any = self  # a record and a backend, as far as a gatherer asks them
        with Gatherer(stands_for_both, stands_for_both, run, lambda: None) as gatherer:
            for _update, gather in gatherer.each(ends):
                publish(gather().fetched, self.directory / "outputs")
        return time.perf_counter() - began

    def log_path(self, *_: object) -> Path:
        """Name a log; there is none."""
        return self.directory / "log"


class Adlfs:
    """The same by adlfs alone, with the settings that were found to be its best."""

    def __init__(self, _way: str, place: Path, count: int) -> None:
        """Reach the account that the environment names."""
        self.files = AzureBlobFileSystem(
            connection_string=os.environ["STORAGE_ACCOUNT_CONNECTION_STRING"],
            skip_instance_cache=True,
            use_listings_cache=False,
            max_concurrency=4,
        )
        self.place, self.count = place, count
        self.made = place / f"made-adlfs-{time.time_ns()}"
        self.made.mkdir()

    def prepare(self) -> int:
        """Put the outputs where all of them are collected from."""
        self.files.mkdir(OUTPUTS)
        self.stage(f"{OUTPUTS}/small")
        self.files.put_file(str(self.place / "large"), f"{OUTPUTS}/large/large")
        return self.count

    def stage(self, prefix: str = "") -> float:
        """Send the small files; return the seconds."""
        container = f"bench-{time.time_ns()}"
        if not prefix:
            self.files.mkdir(container)
        names = [str(number) for number in range(self.count)]
        began = time.perf_counter()
        self.files.put(
            [str(self.place / "in" / name) for name in names],
            [f"{prefix or container}/{name}" for name in names],
            batch_size=32,
        )
        return time.perf_counter() - began

    def collect(self) -> float:
        """Fetch the small files; return the seconds."""
        names = [str(number) for number in range(self.count)]
        began = time.perf_counter()
        self.files.get(
            [f"{OUTPUTS}/small/{name}" for name in names],
            [str(self.made / name) for name in names],
            batch_size=32,
        )
        return time.perf_counter() - began

    def large(self) -> float:
        """Fetch the large one; return the seconds."""
        began = time.perf_counter()
        self.files.get_file(f"{OUTPUTS}/large/large", str(self.made / "large"))
        return time.perf_counter() - began


if __name__ == "__main__":
    way, what, directory, count = sys.argv[1:]
    made = (Adlfs if way == "adlfs" else Ours)(way, Path(directory), int(count))
    print(getattr(made, what)())
