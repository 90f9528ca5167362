"""The contract on Azure: an emulated account, machines that run containers, a real storage."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from batchcore.backend import RunContext, TaskSubmission, TaskUpdate
from batchcore.model import Job, Output, Resource, Task
from batchcore.plan import plan_job
from batchcore.states import FailureReason, TaskState
from batchcore.transfer.stage import stage
from batchcore_azure.backend import AzureBackend, create
from batchcore_azure.emulator.cloud import Emulator
from batchcore_azure.plugin import batchcore_register_backend
from batchcore_azure.settings import AzureSettings

SECONDS = 60
Runner = Callable[..., RunContext]

pytestmark = pytest.mark.docker


class Cloud:
    """One run of the backend, driven as the core drives it."""

    def __init__(self, emulator: Emulator, folder: Path, image: str) -> None:
        self.emulator = emulator
        self.folder = folder
        self.image = image
        # The storage outlives a test, so each has runs of its own.
        self.run_id = f"r-{uuid.uuid4().hex[:8]}"
        self.news: list[str] = []
        self.backends: list[AzureBackend] = []
        self.backend = self.new_backend()

    def new_backend(self, **settings: Any) -> AzureBackend:
        """Return what a new process has, with an account from the environment alone."""
        given = {
            "endpoint": self.emulator.endpoint,
            "account_name": self.emulator.account,
            "storage_account": self.emulator.storage.account,
            "storage_endpoint": self.emulator.storage.url,
        }
        made = create(AzureSettings(**given | settings))
        self.backends.append(made)
        return made

    def submit(self, *tasks: Task, suffix: str = "") -> RunContext:
        plan = plan_job(Job("lab", tasks=tasks, image=self.image), base=self.folder)
        run = RunContext(
            run_id=self.run_id + suffix, plan=plan, directory=self.folder, notify=self.news.append
        )
        run = replace(run, store=self.backend.store(run))
        files = [file for task in plan.tasks for file in task.files]
        stage(files, run.store, {}, lambda *_: None, self.backend.filesystem)
        self.backend.submit(run, [TaskSubmission(task, 1) for task in plan.tasks])
        return run

    def wait(self, run: RunContext, done: Callable[[dict[str, TaskUpdate]], bool]) -> Any:
        """Poll until the updates fit; returns the last of each task."""
        found: dict[str, TaskUpdate] = {}
        cursor = ""
        deadline = time.monotonic() + SECONDS
        while not done(found):
            assert time.monotonic() < deadline, found
            snapshot = self.backend.poll(run, cursor, 0)
            cursor = snapshot.cursor
            found |= {update.task_id: update for update in snapshot.updates}
            with self.emulator.state.changed:
                self.emulator.state.changed.wait(0.2)
        return found

    def ends(self, run: RunContext) -> Any:
        count = len(run.plan.tasks)
        return self.wait(
            run,
            lambda found: len(found) == count and all(u.state.final for u in found.values()),
        )

    def text(self, url: str) -> str:
        filesystem, path = self.backend.filesystem(url)
        target = self.folder / "fetched"
        filesystem.get_file(path, str(target))
        return target.read_text()


@pytest.fixture
def cloud(azure_emulator: Emulator, tmp_path: Path, worker_base_image: str) -> Iterator[Cloud]:
    made = Cloud(azure_emulator, tmp_path, worker_base_image)
    yield made
    for backend in made.backends:
        backend.close()


def python(task_id: str, code: str, **fields: Any) -> Task:
    return Task(task_id, command=["python3", "-c", code], **fields)


COPY = "import shutil; shutil.copy('in/a.txt', 'b.txt'); print('copied')"


def test_the_plugin_names_the_backend():
    assert batchcore_register_backend().factory == "batchcore_azure.backend:create"


def test_a_task_finds_its_resources_and_leaves_its_outputs(cloud):
    resource = Resource("in/a.txt", text="content")
    run = cloud.submit(python("one", COPY, resources=[resource], outputs=[Output("b.txt")]))
    update = cloud.ends(run)["one"]
    assert (update.state, update.exit_code) == (TaskState.SUCCEEDED, 0)
    files = cloud.backend.outputs(run, TaskSubmission(run.plan.tasks[0], 1))
    assert cloud.text(f"{files.tree}/b.txt") == "content"
    assert cloud.text(files.stdout) == "copied\n"


def test_the_job_ends_by_itself_once_all_of_its_tasks_are_in(cloud):
    run = cloud.submit(python("one", "pass"), python("two", "raise SystemExit(4)"))
    ends = cloud.ends(run)
    assert (ends["two"].reason, ends["two"].exit_code) == (FailureReason.EXIT_CODE, 4)
    assert cloud.emulator.state.job(cloud.run_id).state == "completed"


def test_a_new_process_adopts_what_runs_and_starts_nothing_again(cloud):
    run = cloud.submit(python("one", "import time; time.sleep(1)"))
    cloud.backend = cloud.new_backend()
    cloud.backend.submit(run, [TaskSubmission(run.plan.tasks[0], 1)])
    assert cloud.ends(run)["one"].state is TaskState.SUCCEEDED
    assert [len(cloud.emulator.state.tasks_of(j.id)) for j in cloud.emulator.state.jobs()] == [1]


def test_a_task_is_stopped_at_its_time_limit(cloud):
    run = cloud.submit(python("one", "import time; time.sleep(600)", timeout=2))
    update = cloud.ends(run)["one"]
    assert (update.state, update.reason) == (TaskState.FAILED, FailureReason.TIMEOUT)


def test_a_running_task_is_canceled_and_its_log_can_be_read_before(cloud):
    run = cloud.submit(python("one", "import time; print('up', flush=True); time.sleep(600)"))
    attempt = TaskSubmission(run.plan.tasks[0], 1)
    cloud.wait(run, lambda _found: b"up" in cloud.backend.read_log(run, attempt, "stdout", 0).data)
    cloud.backend.cancel(run, ["one"])
    assert cloud.ends(run)["one"].state is TaskState.CANCELED


def test_a_preempted_machine_does_not_lose_the_task(cloud):
    run = cloud.submit(python("one", "import time; time.sleep(2)"))
    state = cloud.emulator.state
    cloud.wait(run, lambda found: found and found["one"].state is TaskState.RUNNING)
    node = state.task(cloud.run_id, "one").body["nodeInfo"]
    state.preempt_node(node["poolId"], node["nodeId"])
    update = cloud.ends(run)["one"]
    assert update.state is TaskState.SUCCEEDED
    assert update.node.endswith("(start 2)")


def test_an_image_that_there_is_not_is_the_reason(cloud):
    run = cloud.submit(python("one", "pass"), Task("two", command=["x"], image="no.invalid/no:1"))
    assert cloud.ends(run)["two"].reason is FailureReason.IMAGE


def test_a_release_deletes_what_the_run_made_and_says_the_same_before(cloud):
    resource = Resource("a", text="x")
    run = cloud.submit(python("one", "pass", resources=[resource]))
    other = cloud.submit(python("one", "pass", resources=[resource]), suffix="-x")
    cloud.ends(run)
    cloud.ends(other)
    told = list(cloud.backend.release(run, dry_run=True))
    assert told[0] == f"Batch job {cloud.run_id}"
    assert any(f"az://batchcore/{cloud.run_id}/" in line for line in told)
    assert any(line.startswith(f"container bc-{cloud.run_id}-") for line in told)
    assert list(cloud.backend.release(run, dry_run=False)) == told
    assert list(cloud.backend.release(run, dry_run=False)) == []
    assert [job.id for job in cloud.emulator.state.jobs()] == [other.run_id]
    assert len(cloud.backend.release(other, dry_run=True)) == 4


def test_after_a_success_everything_stays_and_is_named(cloud):
    run = cloud.submit(python("one", "pass"))
    cloud.ends(run)
    there = list(cloud.backend.release(run, dry_run=True))
    assert f"Batch pool {cloud.run_id}-pool" in there
    cloud.backend.settle(run)
    assert list(cloud.backend.release(run, dry_run=True)) == there
    assert any(there[0] in line and "batchcore clean" in line for line in cloud.news)


def test_after_a_success_goes_what_the_options_ask_for(cloud):
    run = cloud.submit(python("one", "pass"))
    cloud.ends(run)
    cloud.new_backend(delete_job_when_done=True, delete_container_when_done=True).settle(run)
    left = cloud.backend.release(run, dry_run=True)
    assert list(left) == [f"Batch pool {cloud.run_id}-pool"]
    cloud.new_backend(delete_pool_when_done=True).settle(run)
    assert list(cloud.backend.release(run, dry_run=True)) == []


def test_a_pool_with_a_name_of_the_users_goes_only_where_that_is_asked_for(cloud):
    cloud.backend = cloud.new_backend(pool="shared")
    run = cloud.submit(python("one", "pass"))
    cloud.ends(run)
    assert "Batch pool shared" not in cloud.backend.release(run, dry_run=False)
    eager = cloud.new_backend(pool="shared", delete_pool_when_done=True)
    assert list(eager.release(run, dry_run=False)) == ["Batch pool shared"]


def test_a_pool_that_the_run_did_not_make_is_never_deleted(cloud):
    cloud.backend = cloud.new_backend(pool="shared", delete_pool_when_done=True)
    cloud.ends(cloud.submit(python("one", "pass")))
    run = cloud.submit(python("one", "pass"), suffix="-x")
    cloud.ends(run)
    assert "Batch pool shared" not in cloud.backend.release(run, dry_run=True)


def test_no_thread_of_the_backend_goes_on_after_it_was_closed(cloud):
    cloud.ends(cloud.submit(python("one", "pass")))
    cloud.backend.close()
    cloud.backend.close()
    ours = ("LROPoller", "cancel", "stage", "delete")
    assert [t.name for t in threading.enumerate() if t.name.startswith(ours)] == []


def test_jobs_that_were_left_open_end_by_themselves_once_the_backend_is_closed(cloud):
    run = cloud.submit(python("one", "pass"), python("two", "pass"))
    cloud.backend.submit(run, [TaskSubmission(run.plan.tasks[0], 2)])
    assert cloud.emulator.state.job(f"{cloud.run_id}-a2").body["onAllTasksComplete"] == "noaction"
    cloud.backend.close()
    assert (
        cloud.emulator.state.job(f"{cloud.run_id}-a2").body["onAllTasksComplete"] == "terminatejob"
    )
