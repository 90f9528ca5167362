"""What goes wrong between here and the end of a task, and what becomes of the run then."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
from azure.core.pipeline.transport import RequestsTransport
from urllib3.util import Retry

from batchcore.states import FailureReason, TaskState
from batchcore.testing.faultproxy import Fault as StorageFault
from batchcore.testing.faultproxy import FaultProxy
from batchcore_azure import storage
from batchcore_azure.emulator.faults import Fault
from batchcore_azure.lifetimes import Lifetime

pytestmark = pytest.mark.docker

BUSY = {
    "429": {"status": 429, "code": "TooManyRequests"},
    "429 with a time": {"status": 429, "code": "TooManyRequests", "headers": {"Retry-After": "1"}},
    "503": {"status": 503, "code": "ServerBusy"},
    "503 with a time": {"status": 503, "code": "ServerBusy", "headers": {"Retry-After": "1"}},
}
CHANGES = {
    "POST": ("/pools", "/jobs", "/jobs/*/addtaskcollection"),
    "PATCH": ("/jobs/*",),
    "DELETE": ("/jobs/*",),
}
WRITE = {"id": "write", "shell": "cat given > out.txt", "outputs": ["out.txt"]}
GIVEN = [{"path": "given", "text": "some bytes"}]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every client try again at once; how long one waits is shown where its policy is."""
    monkeypatch.setattr(RequestsTransport, "sleep", lambda _self, _seconds: None)
    monkeypatch.setattr(Retry, "sleep", lambda _self, _answer=None: None)


@pytest.fixture
def instant(serve: Callable[..., Any]) -> Any:
    """An account whose machines run nothing: each task succeeds and leaves empty files."""
    return serve(instant=True)


@pytest.fixture
def many(instant: Any) -> Any:
    """A job of some tasks, each with an output."""
    instant.job(*({"id": f"t{n}", "command": ["true"], "outputs": ["out.txt"]} for n in range(5)))
    return instant


def has_run_once(cloud: Any) -> bool:
    started = [task for _job, task in cloud.starts]
    return sorted(started) == [f"t{n}" for n in range(5)]


@pytest.mark.parametrize("busy", BUSY.values(), ids=BUSY)
def test_a_busy_service_is_asked_again(many: Any, busy: dict[str, Any]) -> None:
    for method, places in {**CHANGES, "GET": ("/jobs/*/tasks", "/jobs", "/pools/*")}.items():
        for path in places:
            many.emulator.faults.add(Fault(kind="status", method=method, path=path, **busy))
    done = many.run()
    assert done.code == 0, done.err
    assert has_run_once(many)


@pytest.mark.parametrize("method", CHANGES)
def test_an_answer_that_is_lost_changes_nothing(many: Any, method: str) -> None:
    for path in CHANGES[method]:
        lost = Fault(kind="reset", method=method, path=path, after_commit=True)
        many.emulator.faults.add(lost)
    done = many.run()
    assert done.code == 0, done.err
    assert has_run_once(many)


def test_an_answer_that_ends_halfway_changes_nothing(many: Any) -> None:
    for path in ("/jobs/*/addtaskcollection", "/jobs/*/tasks"):
        many.emulator.faults.add(Fault(kind="short_body", path=path))
    done = many.run()
    assert done.code == 0, done.err
    assert has_run_once(many)


def test_tasks_that_the_service_failed_to_add_are_added_again(many: Any) -> None:
    failing = Fault(kind="entries", path="/jobs/*/addtaskcollection", task="t[13]", times=2)
    many.emulator.faults.add(failing)
    assert many.run().code == 0
    assert has_run_once(many)


def test_a_task_that_the_service_refuses_fails_alone_and_once(many: Any) -> None:
    adding = "/jobs/*/addtaskcollection"
    refused = Fault(kind="entries", path=adding, task="t2", status_of_entry="ClientError")
    many.emulator.faults.add(refused)
    assert many.run().code == 3
    failed = [task for task in many.loaded().tasks if task.state is TaskState.FAILED]
    assert [(task.id, task.reason) for task in failed] == [("t2", FailureReason.START_FAILED)]


def test_a_service_that_stays_away_ends_the_command_and_not_the_run(many: Any) -> None:
    many.emulator.faults.add(Fault(kind="reset", path="/jobs/*/tasks", times=1_000))
    away = many.run()
    assert away.code == 7, away.err
    assert "Azure failed while reading the tasks" in away.err
    many.emulator.faults.clear()
    assert many.run().code == 0
    assert has_run_once(many)


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "1"}], ids=["", "with a time"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_storage_is_asked_again(
    cloud: Any, proxy: FaultProxy, status: int, headers: dict[str, str]
) -> None:
    cloud.job(WRITE, resources=GIVEN)
    for method, path in (("PUT", r"/batchcore/"), ("GET", r"/bc-.*/wd/"), ("PUT", r"/bc-.*")):
        fault = {"kind": "status", "method": method, "path": path, "status": status}
        proxy.add(StorageFault(**fault, headers=headers))
    done = cloud.run()
    assert done.code == 0, done.err
    assert output(cloud) == "some bytes"


@pytest.mark.parametrize("kind", ["refuse", "cut", "short", "flip"])
def test_an_output_that_does_not_arrive_as_it_was_is_fetched_again(
    cloud: Any, proxy: FaultProxy, kind: Any
) -> None:
    cloud.job(WRITE, resources=GIVEN)
    proxy.add(StorageFault(kind=kind, method="GET", path=r"/wd/out\.txt"))
    done = cloud.run()
    assert done.code == 0, done.err
    assert output(cloud) == "some bytes"


def test_an_output_that_is_always_cut_ends_the_command_and_not_the_run(
    cloud: Any, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.job(WRITE, resources=GIVEN)
    with monkeypatch.context() as broken_off:
        cut = StorageFault(kind="cut")
        wanted = lambda request: cut if request.path.endswith("/wd/out.txt") else None  # noqa: E731
        broken_off.setattr(proxy, "fault_of", wanted)
        broken = cloud.run()
    assert broken.code == 7, broken.err
    assert not list(cloud.directory.glob("outputs/**/out.txt"))
    assert cloud.run().code == 0
    assert output(cloud) == "some bytes"
    assert len(cloud.starts) == 1


@pytest.mark.parametrize("kind", ["refuse", "lose"])
def test_a_resource_whose_sending_was_not_confirmed_is_there_once_and_whole(
    cloud: Any, proxy: FaultProxy, kind: Any
) -> None:
    cloud.job(WRITE, resources=GIVEN)
    proxy.add(StorageFault(kind=kind, method="PUT", path=r"/resources/"))
    done = cloud.run()
    assert done.code == 0, done.err
    assert output(cloud) == "some bytes"
    assert len([name for name in cloud.blobs_of("batchcore") if "/resources/" in name]) == 1


def output(cloud: Any) -> str:
    (path,) = cloud.loaded().output_files
    return Path(path).read_text()


def expired(now: float, *_: float) -> Lifetime:
    return Lifetime(now - 7200, now - 3600)


@pytest.mark.parametrize(
    ("resources", "reason"),
    [(GIVEN, FailureReason.RESOURCE), ([], FailureReason.OUTPUT_UPLOAD)],
    ids=["read", "written"],
)
def test_what_an_expired_url_kept_from_being_moved_is_moved_by_the_same_command(
    cloud: Any, monkeypatch: pytest.MonkeyPatch, resources: list[Any], reason: FailureReason
) -> None:
    task = {**WRITE, "shell": "echo -n 'some bytes' > out.txt", "interruptions": 0}
    cloud.job(task, resources=resources)
    with monkeypatch.context() as late:
        late.setattr(storage, "lifetime", expired)
        assert cloud.run().code == 3
    (failed,) = cloud.loaded().tasks
    assert (failed.state, failed.reason) == (TaskState.FAILED, reason)
    assert cloud.run().code == 0
    assert output(cloud) == "some bytes"


def test_an_expired_url_costs_an_interruption(cloud: Any, monkeypatch: Any) -> None:
    cloud.job(WRITE, resources=GIVEN)
    once_expired = chain([expired], repeat(storage.lifetime))

    def life(*times: float) -> Lifetime:
        return next(once_expired)(*times)

    monkeypatch.setattr(storage, "lifetime", life)
    assert cloud.run().code == 0
    (task,) = cloud.loaded().tasks
    assert (task.state, task.attempt) == (TaskState.SUCCEEDED, 2)


def slow(cloud: Any) -> None:
    """A job of one task that takes long enough to be interrupted, and then ends."""
    cloud.job({"id": "slow", "shell": "sleep 1; echo done > out.txt", "outputs": ["out.txt"]})


def only_node(cloud: Any) -> tuple[str, str]:
    (pool,) = cloud.state.pools()
    (node,) = cloud.state.nodes_of(pool.id)
    return pool.id, node.id


def accident(cloud: Any, order: Callable[[str, str], None], *options: str) -> Any:
    """Run the slow task, let something happen to its machine once, and return its result."""
    slow(cloud)
    child = cloud.start(*cloud.words(*options))
    cloud.until(lambda: cloud.task_states() == ["running"])
    order(*only_node(cloud))
    _, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    (task,) = cloud.loaded().tasks
    assert task.state is TaskState.SUCCEEDED
    return task


def test_a_preempted_task_starts_again_and_finishes(cloud: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("BATCHCORE_AZURE_NODES", "0")
    monkeypatch.setenv("BATCHCORE_AZURE_SPOT_NODES", "1")
    task = accident(cloud, cloud.state.preempt_node)
    assert task.attempt == 1
    assert task.node.endswith("(start 2)")
    assert [name for _job, name in cloud.starts] == ["slow", "slow"]


def test_a_task_that_is_preempted_too_often_gets_an_attempt_of_its_own(
    cloud: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("BATCHCORE_AZURE_SPOT_NODES", "1")
    monkeypatch.setenv("BATCHCORE_AZURE_NODES", "0")
    task = accident(cloud, cloud.state.preempt_node, "--set", "max_requeues=0")
    assert task.attempt == 2


def test_a_task_whose_machine_is_lost_starts_again_on_another(cloud: Any) -> None:
    task = accident(cloud, lose_and_replace(cloud))
    assert task.attempt == 1
    assert task.node.endswith("(start 2)")


def test_what_a_preempted_start_had_half_written_is_not_in_the_output(
    cloud: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("BATCHCORE_AZURE_NODES", "0")
    monkeypatch.setenv("BATCHCORE_AZURE_SPOT_NODES", "1")
    halves = "echo first >> out.txt; echo begun; sleep 1; echo second >> out.txt"
    cloud.job({"id": "slow", "shell": halves, "outputs": ["out.txt"]})
    child = cloud.start()
    cloud.until(lambda: cloud.task_states() == ["running"])
    cloud.says(lambda: "begun" in cloud.cli("logs", str(cloud.directory)).out)
    cloud.state.preempt_node(*only_node(cloud))
    _, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    assert output(cloud) == "first\nsecond\n"
    assert len(cloud.starts) == 2


def lose_and_replace(cloud: Any) -> Callable[[str, str], None]:
    def order(pool: str, node: str) -> None:
        cloud.state.lose_node(pool, node)
        cloud.state.add_node(pool)

    return order


def test_a_missing_output_fails_its_task(cloud: Any) -> None:
    cloud.job({"id": "lazy", "command": ["true"], "outputs": ["out.txt"]})
    assert cloud.run().code == 3
    (task,) = cloud.loaded().tasks
    assert (task.reason, task.exit_code) == (FailureReason.OUTPUT_MISSING, 0)
    assert "out.txt" in task.detail


def test_an_upload_into_a_container_that_is_gone_fails_its_task(cloud: Any) -> None:
    """Whether this command learns it or the next one: the first may miss the container before."""
    slow(cloud)
    child = cloud.start()
    cloud.until(lambda: cloud.task_states() == ["running"])
    (container,) = [name for name in cloud.containers() if name.startswith("bc-")]
    cloud.blobs.delete_container(container)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 7
    assert "container does not exist" in err
    assert cloud.run().code == 3
    (task,) = cloud.loaded().tasks
    assert (task.reason, task.native) == (
        FailureReason.OUTPUT_UPLOAD,
        "FileUploadContainerNotFound",
    )


def test_an_image_that_no_machine_can_get_fails_its_task_at_once(cloud: Any) -> None:
    cloud.job({"id": "wrong", "command": ["true"], "image": "nobody/has-this:v1"})
    assert cloud.run().code == 3
    (task,) = cloud.loaded().tasks
    assert (task.reason, task.attempt) == (FailureReason.IMAGE, 1)
    assert "nobody/has-this:v1" in task.detail
