"""Each attempt gets into a job once, in order, whatever the service answers."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from batchcore.backend import TaskSubmission
from batchcore.errors import BackendError, Conflict
from batchcore_azure import calls, tasks, translate
from batchcore_azure.emulator.faults import Fault

ADD = "/jobs/*/addtaskcollection"


def names(count: int) -> list[str]:
    return [f"t{number:04}" for number in range(count)]


def test_tasks_are_added_in_order_a_hundred_at_a_time(lab):
    placed, rejected = lab.place(lab.run(*names(250)))
    assert lab.ids() == names(250)
    assert placed == dict.fromkeys(names(250), "r-1")
    assert rejected == {}
    assert lab.service.requests.count("POST", ADD) == 3


def test_the_next_bodies_are_made_while_a_request_is_under_way(lab, monkeypatch):
    asked = threading.Event()

    def send(*request: Any) -> Any:
        asked.set()
        return calls.send(*request)

    def body_of(submission: TaskSubmission) -> dict[str, Any]:
        if submission.task.id == "t0100":
            assert asked.wait(10)
        container = {"imageName": "i"}
        return {"id": submission.task.id, "commandLine": "x", "containerSettings": container}

    monkeypatch.setattr(tasks, "send", send)
    run = lab.run(*names(150))
    wanted = [TaskSubmission(task, 1) for task in run.plan.tasks]
    assert len(lab.tasks.place(run, 1, wanted, body_of)[0]) == 150


def test_a_body_that_cannot_be_made_is_an_error_of_the_call(lab):
    run = lab.run("a")

    def body_of(_submission: TaskSubmission) -> dict[str, Any]:
        raise BackendError("no key to sign with", hint="none")

    with pytest.raises(BackendError, match="no key"):
        lab.tasks.place(run, 1, [TaskSubmission(run.plan.tasks[0], 1)], body_of)


def test_a_job_says_whose_it_is_and_stays_open(lab):
    lab.place(lab.run("a"))
    body = lab.job().body
    metadata = {item["name"]: item["value"] for item in body["metadata"]}
    assert metadata["batchcore.run"] == "r-1"
    assert metadata["batchcore.spec"] == "5bec"
    assert body["onAllTasksComplete"] == "noaction"


def test_attempts_of_another_number_are_in_a_job_of_their_own(lab):
    run = lab.run("a")
    lab.place(run)
    assert lab.place(run, attempt=2)[0] == {"a": "r-1-a2"}
    assert lab.ids("r-1-a2") == ["a"]


def test_the_same_tasks_again_are_adopted_by_the_same_process(lab):
    run = lab.run("a", "b")
    lab.place(run)
    assert lab.place(run) == ({"a": "r-1", "b": "r-1"}, {})
    assert lab.ids() == ["a", "b"]


def test_a_new_process_adds_what_is_missing_and_no_more(lab):
    lab.place(lab.run("a", "b"))
    lab.service.requests.clear()
    placed, _ = lab.place(lab.run("a", "b", "c"), tasks=lab.new_tasks())
    assert placed == dict.fromkeys("abc", "r-1")
    assert lab.ids() == ["a", "b", "c"]
    assert lab.service.requests.count("POST", ADD) == 1
    lab.place(lab.run("a", "b", "c"), tasks=lab.new_tasks())
    assert lab.service.requests.count("POST", ADD) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="reset", method="POST", path=ADD, after_commit=True),
        Fault(kind="reset", method="POST", path=ADD),
        Fault(kind="status", method="POST", path=ADD, status=503, after_commit=True),
        Fault(kind="status", method="POST", path=ADD, status=429, code="TooManyRequests"),
        Fault(kind="short_body", method="POST", path=ADD),
        Fault(kind="reset", method="POST", path="/jobs", after_commit=True),
        Fault(kind="entries", path=ADD, task="t0007"),
    ],
    ids=["lost answer", "reset", "applied 503", "429", "cut", "lost job", "ServerError"],
)
def test_no_fault_adds_a_task_twice_or_loses_one(lab, fault):
    lab.service.faults.add(fault)
    placed, rejected = lab.place(lab.run(*names(120)))
    assert sorted(lab.ids()) == names(120)
    assert len(placed) == 120
    assert rejected == {}


def test_a_task_that_the_service_refuses_is_told_and_the_others_go_in(lab):
    lab.service.faults.add(Fault(kind="entries", path=ADD, task="b", status_of_entry="ClientError"))
    placed, rejected = lab.place(lab.run("a", "b", "c"))
    assert lab.ids() == ["a", "c"]
    assert placed == {"a": "r-1", "c": "r-1"}
    assert set(rejected) == {"b"}
    assert rejected["b"].code


def test_a_service_that_fails_for_ever_is_given_up_with_growing_pauses(lab):
    lab.service.faults.add(Fault(kind="entries", path=ADD, times=1000))
    with pytest.raises(BackendError, match="does not take 2 tasks") as caught:
        lab.place(lab.run("a", "b"))
    assert caught.value.transient
    assert len(lab.clock.slept) == tasks.MOST_ROUNDS
    assert sum(lab.clock.slept) < 60


def test_requests_are_halved_until_they_fit(lab):
    too_large: dict[str, Any] = {"status": 413, "code": "RequestBodyTooLarge"}
    lab.service.faults.add(Fault(kind="status", method="POST", path=ADD, times=2, **too_large))
    lab.place(lab.run(*names(60)))
    assert lab.ids() == names(60)
    # 60, 30, then as many as fit: 15 at a time.
    assert lab.service.requests.count("POST", ADD) == 6


def test_a_task_too_large_for_any_request_is_refused_alone(lab):
    run = lab.run("small")
    large = lab.run("large", env={"A": "x" * 1_200_000}).plan.tasks
    run = lab.run_of(run, (*large, *run.plan.tasks))
    placed, rejected = lab.place(run)
    assert placed == {"small": "r-1"}
    assert "too large" in rejected["large"].text


def test_a_request_is_kept_below_the_size_that_the_service_takes():
    bodies = [{"id": str(number), "commandLine": "x" * 200_000} for number in range(9)]
    chunk = tasks.take_chunk(bodies, 100)
    assert [body["id"] for body in chunk] == ["0", "1", "2", "3"]
    assert len(json.dumps({"value": chunk})) < translate.MOST_BYTES
    assert len(tasks.take_chunk([{"id": "x" * 2_000_000}], 100)) == 1


@pytest.mark.parametrize("end", ["terminate", "complete"])
def test_a_job_that_takes_no_more_is_followed_by_another(lab, end):
    lab.place(lab.run("a"))
    if end == "terminate":
        lab.state.terminate_job("r-1")
    else:
        lab.jobs.seal("r-1")
        lab.end("a")
    run = lab.run("a", "b")
    assert lab.place(run)[0] == {"a": "r-1", "b": "r-1-b2"}
    assert lab.place(run, tasks=lab.new_tasks())[0] == {"a": "r-1", "b": "r-1-b2"}
    assert (lab.ids("r-1"), lab.ids("r-1-b2")) == (["a"], ["b"])


def test_a_sealed_job_still_takes_tasks_while_one_is_open(lab):
    lab.place(lab.run("a"))
    lab.jobs.seal("r-1")
    assert lab.place(lab.run("a", "b"))[0] == {"a": "r-1", "b": "r-1"}


def test_a_job_of_somebody_else_is_a_conflict(lab):
    lab.state.create_job({"id": "r-1", "poolInfo": {"poolId": "lab-pool"}})
    with pytest.raises(Conflict, match="somebody else") as caught:
        lab.place(lab.run("a"))
    assert caught.value.exit_code == 9
    assert lab.ids() == []


def test_a_job_of_the_same_run_with_other_tasks_is_a_conflict(lab):
    lab.place(lab.run("a", spec="one"))
    with pytest.raises(Conflict, match="run 'r-1' with other tasks"):
        lab.place(lab.run("a", spec="two"), tasks=lab.new_tasks())


@pytest.mark.parametrize("new_process", [False, True])
def test_a_task_of_the_same_name_and_another_spec_is_a_conflict(lab, new_process):
    lab.place(lab.run("a"))
    other = lab.run("a", spec_hash="other")
    with pytest.raises(Conflict, match="'a'"):
        lab.place(other, tasks=lab.new_tasks() if new_process else None)


def test_a_job_that_is_being_deleted_is_worth_another_try(lab):
    lab.place(lab.run("a"))
    lab.start("a")
    lab.state.delete_job("r-1")
    with pytest.raises(BackendError, match="being deleted") as caught:
        lab.place(lab.run("a"), tasks=lab.new_tasks())
    assert caught.value.transient


def test_no_thread_is_left_by_ending_and_deleting_jobs(lab):
    lab.place(lab.run("a"))
    lab.jobs.terminate("r-1", "done")
    assert lab.job().body["executionInfo"]["terminateReason"] == "done"
    lab.jobs.terminate("r-1", "again")
    lab.jobs.delete("r-1")
    lab.jobs.delete("r-1")
    assert [job.id for job in lab.jobs.of("r-1")] == []
    # The SDK's own methods for both leave one of this name behind.
    assert [t.name for t in threading.enumerate() if t.name.startswith("LROPoller")] == []


def test_jobs_of_runs_whose_names_begin_alike_are_not_this_runs(lab):
    lab.place(lab.run("a"))
    lab.place(lab.run("a"), attempt=2)
    lab.place(lab.run("a", run_id="r-1-a2-x"))
    assert sorted(job.id for job in lab.jobs.of("r-1")) == ["r-1", "r-1-a2"]


def test_what_is_in_use_is_sealed_at_the_end_as_far_as_possible(lab):
    lab.place(lab.run("a"))
    lab.place(lab.run("a"), attempt=2)
    lab.service.faults.add(Fault(kind="status", method="PATCH", path="/jobs/r-1", times=99))
    lab.jobs.seal_all()
    assert lab.job("r-1-a2").body["onAllTasksComplete"] == "terminatejob"
    assert lab.service.requests.count("PATCH", "/jobs/r-1") == 1
    lab.jobs.seal_all()
    assert lab.service.requests.count("PATCH") == 2


def test_a_credential_that_is_refused_at_the_end_does_not_stop_it(lab):
    lab.place(lab.run("a"))
    refused: dict[str, Any] = {"status": 403, "code": "InsufficientAccountPermissions"}
    lab.service.faults.add(Fault(kind="status", method="PATCH", path="/jobs/*", **refused))
    lab.jobs.seal_all()
    assert lab.service.requests.count("PATCH") == 1


def test_a_job_that_vanished_is_made_again_by_the_next_call(lab):
    lab.place(lab.run("a"))
    lab.state.delete_job("r-1")
    run = lab.run("a", "b")
    with pytest.raises(BackendError, match="was deleted") as caught:
        lab.place(run)
    assert caught.value.transient
    assert lab.place(run)[0] == {"a": "r-1", "b": "r-1"}
