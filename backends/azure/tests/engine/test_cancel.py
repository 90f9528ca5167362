"""Stopping tasks: few requests, and no harm to what has ended."""

from __future__ import annotations

from typing import Any

import pytest

from batchcore.errors import BackendError
from batchcore_azure.cancel import cancel_tasks
from batchcore_azure.emulator.faults import Fault

TERMINATE = "/jobs/*/tasks/*/terminate"


def names(count: int) -> list[str]:
    return [f"t{number:04}" for number in range(count)]


def cancel(lab: Any, *ids: str) -> None:
    cancel_tasks(lab.account, lab.jobs, "r-1", ids)


def test_a_waiting_task_is_canceled(lab, show):
    watch = lab.begin(lab.run("a", "b"))
    cancel(lab, "a")
    assert show(watch.poll("").updates) == {"a": "canceled", "b": "queued"}


def test_a_running_task_is_told_to_stop(lab):
    lab.begin(lab.run("a", "b"))
    lab.start("a")
    cancel(lab, "a")
    task = lab.state.task("r-1", "a")
    assert lab.state.must_stop(task, task.run)


def test_what_has_ended_or_is_not_known_is_left_alone(lab, show):
    watch = lab.begin(lab.run("a", "b"))
    lab.end("a")
    cancel(lab, "a", "nobody")
    cancel(lab, "a", "nobody")
    assert show(watch.poll("").updates) == {"a": "succeeded", "b": "queued"}
    assert lab.service.requests.count("POST", TERMINATE) == 0


def test_a_run_without_jobs_has_nothing_to_cancel(lab):
    cancel(lab, "a")
    assert lab.service.requests.count("POST") == 0


def test_a_task_that_ends_meanwhile_is_no_error(lab):
    lab.begin(lab.run("a"))
    lab.service.faults.add(
        Fault(kind="status", path=TERMINATE, status=409, code="TaskCompleted", message="done")
    )
    cancel(lab, "a")


def test_all_attempts_of_a_task_are_looked_for(lab):
    run = lab.run("a", "b")
    lab.begin(run)
    lab.place(run, attempt=2)
    cancel(lab, "a")
    assert [lab.state.task(job, "a").state for job in ("r-1", "r-1-a2")] == ["completed"] * 2


def test_many_tasks_that_are_all_of_a_job_end_with_it_by_one_request(lab, show):
    watch = lab.begin(lab.run(*names(40)))
    lab.end("t0000")
    cursor = watch.poll("").cursor
    cancel(lab, *names(40))
    assert lab.service.requests.count("POST", "/jobs/r-1/terminate") == 1
    assert lab.service.requests.count("POST", TERMINATE) == 0
    lab.clock.sleep(60)
    told = show(watch.poll(cursor).updates)
    assert told == dict.fromkeys(names(40)[1:], "canceled")


def test_many_of_more_tasks_are_stopped_one_by_one(lab):
    lab.begin(lab.run(*names(40)))
    cancel(lab, *names(39))
    assert lab.service.requests.count("POST", TERMINATE) == 39
    assert lab.job().state == "active"


def test_a_service_that_refuses_is_told(lab):
    lab.begin(lab.run("a"))
    lab.service.faults.add(Fault(kind="status", path=TERMINATE, status=400, code="Odd", times=9))
    with pytest.raises(BackendError, match="stopping tasks"):
        cancel(lab, "a")
