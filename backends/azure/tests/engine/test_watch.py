"""What is told of a run's attempts, and how few questions it takes."""

from __future__ import annotations

from typing import Any

import pytest

from batchcore.errors import BackendError
from batchcore.states import FailureReason, TaskState
from batchcore_azure.emulator.faults import Fault
from batchcore_azure.pool import Condition
from batchcore_azure.watch import LOOK_SECONDS

TASKS = "/jobs/*/tasks"


def names(count: int) -> list[str]:
    return [f"t{number:04}" for number in range(count)]


def test_everything_is_told_where_nothing_was_asked_before(lab, show):
    watch = lab.begin(lab.run("a", "b", "c"))
    lab.end("a")
    lab.start("b")
    assert show(watch.poll("").updates) == {"a": "succeeded", "b": "running", "c": "queued"}


def test_afterwards_only_changes_are_told(lab, show):
    watch = lab.begin(lab.run("a", "b"))
    cursor = watch.poll("").cursor
    lab.end("a")
    snapshot = watch.poll(cursor)
    assert show(snapshot.updates) == {"a": "succeeded"}
    assert watch.poll(snapshot.cursor).updates == []


def test_another_cursor_than_the_last_one_asks_for_everything(lab, show):
    watch = lab.begin(lab.run("a"))
    lab.end("a")
    first = watch.poll("")
    assert show(watch.poll("").updates) == {"a": "succeeded"}
    assert show(watch.poll(first.cursor + " ").updates) == {"a": "succeeded"}


def test_a_new_process_finds_all_attempts_by_the_runs_id(lab, show):
    run = lab.run("a")
    lab.begin(run)
    lab.end("a", 3)
    lab.begin(run, attempt=2)
    lab.end("a", job_id="r-1-a2")
    updates = lab.watch(run).poll("").updates
    assert [(update.attempt, str(update.state)) for update in updates] == [
        (1, "failed"),
        (2, "succeeded"),
    ]


def test_a_tick_is_one_request_for_a_job_whatever_its_size(lab):
    watch = lab.begin(lab.run(*names(120)))
    cursor = watch.poll("").cursor
    lab.service.requests.clear()
    lab.end("t0000")
    assert len(watch.poll(cursor).updates) == 1
    assert lab.service.requests.count() == 1


def test_what_waits_is_not_listed_again(lab):
    watch = lab.begin(lab.run("a", "b"))
    cursor = watch.poll("").cursor
    lab.service.requests.clear()
    watch.poll(cursor)
    query = lab.service.requests.seen("GET", TASKS)[0].query
    assert "active" in query
    assert "stateTransitionTime" in query
    assert "commandLine" not in query


def test_what_changed_long_ago_is_not_listed_again(lab):
    watch = lab.begin(lab.run("a", "b"))
    lab.start("a")
    cursor = watch.poll("").cursor
    for _ in range(3):
        lab.clock.sleep(10)
        cursor = watch.poll(cursor).cursor
    page = {}
    listed = lab.account.batch.list_tasks
    lab.account.batch.list_tasks = lambda *args, **fields: page.setdefault(
        "tasks", list(listed(*args, **fields))
    )
    watch.poll(cursor)
    assert page["tasks"] == []


def test_a_job_without_open_tasks_is_not_asked_about(lab):
    run = lab.run("a")
    watch = lab.begin(run)
    lab.end("a", 1)
    cursor = watch.poll("").cursor
    placed, _ = lab.place(run, attempt=2)
    watch.expect(2, placed)
    lab.service.requests.clear()
    watch.poll(cursor)
    assert [seen.path for seen in lab.service.requests.seen()] == ["/jobs/r-1-a2/tasks"]


def test_a_change_that_became_visible_late_is_still_seen(lab, show):
    watch = lab.begin(lab.run("a", "b"))
    lab.end("a")
    cursor = watch.poll("").cursor
    lab.end("b")
    late = lab.state.task("r-1", "b").body
    late["stateTransitionTime"] = lab.state.task("r-1", "a").body["stateTransitionTime"]
    assert show(watch.poll(cursor).updates) == {"b": "succeeded"}


def test_what_was_found_before_a_failure_is_in_the_next_answer(lab, show):
    run = lab.run("a")
    watch = lab.begin(run)
    watch.expect(2, lab.place(run, attempt=2)[0])
    cursor = watch.poll("").cursor
    lab.end("a")
    lab.service.faults.add(
        Fault(kind="status", path="/jobs/r-1-a2/tasks", status=400, code="InvalidQuery")
    )
    with pytest.raises(BackendError):
        watch.poll(cursor)
    assert show(watch.poll(cursor).updates) == {"a": "succeeded"}


def test_pages_are_followed_though_one_is_empty(lab):
    watch = lab.begin(lab.run(*names(5)))
    lab.service.faults.add(Fault(kind="empty_page", path=TASKS))
    assert len(watch.poll("").updates) == 5


def test_a_task_that_nobody_of_this_run_added_is_not_told(lab, show):
    watch = lab.begin(lab.run("a"))
    lab.state.add_task(
        "r-1", {"id": "zz", "commandLine": "x", "containerSettings": {"imageName": "i"}}
    )
    assert show(watch.poll("").updates) == {"a": "queued"}


def test_a_task_that_nobody_of_this_run_added_is_not_stopped(lab, show):
    watch = lab.begin(lab.run("a"), max_queue_time=60, max_requeues=0)
    foreign = {"commandLine": "x", "containerSettings": {"imageName": "i"}}
    for task_id in ("waits", "restarts"):
        lab.state.add_task("r-1", {"id": task_id, **foreign})
    cursor = watch.poll("").cursor
    lab.clock.sleep(100)
    lab.start("restarts")
    lab.state.requeue_task("r-1", "restarts")
    lab.start("restarts")
    assert show(watch.poll(cursor).updates) == {}
    states = {i: lab.state.task("r-1", i).body["state"] for i in ("a", "waits")}
    assert states == {"a": "completed", "waits": "active"}
    restarted = lab.state.task("r-1", "restarts")
    assert not lab.state.must_stop(restarted, restarted.run)


def test_a_task_that_the_service_refused_has_failed(lab):
    lab.service.faults.add(
        Fault(
            kind="entries",
            path="/jobs/*/addtaskcollection",
            task="a",
            status_of_entry="ClientError",
        )
    )
    watch = lab.begin(lab.run("a", "b"))
    for _ in range(2):
        failed = [u for u in watch.poll("").updates if u.state is TaskState.FAILED]
        assert [(u.task_id, u.reason, u.retryable) for u in failed] == [
            ("a", FailureReason.START_FAILED, False)
        ]


def test_a_lost_machine_is_shown_and_does_not_end_the_task(lab):
    watch = lab.begin(lab.run("a"))
    lab.start("a")
    cursor = watch.poll("").cursor
    lab.state.requeue_task("r-1", "a")
    lab.start("a")
    (update,) = watch.poll(cursor).updates
    assert update.state is TaskState.RUNNING
    assert update.node.endswith("(start 2)")


def test_a_task_that_loses_too_many_machines_is_stopped_and_was_preempted(lab):
    watch = lab.begin(lab.run("a"), max_requeues=1)
    cursor = watch.poll("").cursor
    for _ in range(2):
        lab.start("a")
        lab.state.requeue_task("r-1", "a")
    lab.start("a")
    cursor = watch.poll(cursor).cursor
    task = lab.state.task("r-1", "a")
    assert lab.state.must_stop(task, task.run)
    lab.complete(
        "a", 137, failureInfo={"category": "UserError", "code": "TaskEnded", "message": "ended"}
    )
    (update,) = watch.poll(cursor).updates
    assert (update.state, update.reason) == (TaskState.FAILED, FailureReason.PREEMPTED)


@pytest.mark.parametrize("how", ["at once", "later"])
def test_tasks_of_a_deleted_job_have_failed(lab, how):
    watch = lab.begin(lab.run("a"))
    lab.start("a")
    cursor = watch.poll("").cursor
    lab.state.delete_job("r-1")
    if how == "at once":
        lab.complete("a")  # nothing runs any more, so the job is gone
    else:
        lab.clock.sleep(LOOK_SECONDS)
    (update,) = watch.poll(cursor).updates
    assert (update.state, update.reason) == (TaskState.FAILED, FailureReason.BACKEND)
    assert "r-1 was deleted" in update.detail
    assert update.retryable


def test_what_a_foreign_end_of_the_job_leaves_waiting_has_failed(lab, show):
    watch = lab.begin(lab.run("done", "waiting"))
    cursor = watch.poll("").cursor
    lab.end("done")
    lab.state.terminate_job("r-1", "UserTerminate")
    lab.clock.sleep(LOOK_SECONDS)
    updates = watch.poll(cursor).updates
    assert show(updates) == {"done": "succeeded", "waiting": "failed"}
    assert "UserTerminate" in next(u.detail for u in updates if u.task_id == "waiting")


def test_a_new_process_sees_that_the_job_has_ended_under_a_task(lab, show):
    run = lab.run("a")
    lab.begin(run)
    lab.state.terminate_job("r-1")
    assert show(lab.watch(run).poll("").updates) == {"a": "failed"}


def test_while_nothing_runs_the_reason_is_told_once(lab):
    watch = lab.begin(lab.run("a"))
    lab.condition = Condition("the pool p cannot grow", is_quota=True)
    cursor = watch.poll("").cursor
    lab.clock.sleep(LOOK_SECONDS)
    watch.poll(cursor)
    assert lab.news == ["tasks are waiting: the pool p cannot grow"]


def test_while_something_runs_nobody_is_alarmed(lab):
    watch = lab.begin(lab.run("a", "b"))
    lab.condition = Condition("the pool p cannot grow")
    lab.start("a")
    watch.poll("")
    assert lab.news == []


def test_a_disabled_job_is_told_with_the_way_out(lab):
    watch = lab.begin(lab.run("a"))
    lab.state.disable_job("r-1", "wait")
    watch.poll("")
    assert lab.news == [
        "tasks are waiting: the job r-1 is disabled; `az batch job enable --job-id r-1`"
    ]


def wait_in_vain(lab: Any, condition: Condition) -> Any:
    watch = lab.begin(lab.run("a"), max_queue_time=60)
    lab.condition = condition
    cursor = watch.poll("").cursor
    lab.clock.sleep(100)
    cursor = watch.poll(cursor).cursor
    # The service stops it; that it waited for an hour is what its own times say.
    body = lab.state.task("r-1", "a").body
    body["creationTime"] = "2026-01-01T00:00:00.0000000Z"
    return watch.poll(cursor).updates


def test_a_wait_that_is_too_long_ends_with_the_reason(lab):
    (update,) = wait_in_vain(lab, Condition("AccountCoreQuotaReached", is_quota=True))
    assert (update.state, update.reason) == (TaskState.FAILED, FailureReason.QUOTA)
    assert "AccountCoreQuotaReached" in update.detail


def test_a_wait_without_a_known_reason_ends_too(lab):
    (update,) = wait_in_vain(lab, Condition())
    assert (update.state, update.reason) == (TaskState.FAILED, FailureReason.BACKEND)
    assert not update.retryable


def test_a_full_listing_takes_a_request_for_a_thousand_tasks(lab):
    watch = lab.begin(lab.run(*names(1500)))
    lab.service.requests.clear()
    snapshot = watch.poll("")
    assert len(snapshot.updates) == 1500
    assert lab.service.requests.count("GET", TASKS) == 2
