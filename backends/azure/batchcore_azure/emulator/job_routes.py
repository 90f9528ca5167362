"""Answers about jobs."""

from __future__ import annotations

from batchcore_azure.emulator import bodies
from batchcore_azure.emulator.bodies import Answer
from batchcore_azure.emulator.call import Call
from batchcore_azure.emulator.records import Body, Job, refuse_property

_JOB_NAMES = frozenset(
    {
        "id", "displayName", "state", "stateTransitionTime", "previousState", "creationTime",
        "previousStateTransitionTime", "lastModified", "eTag", "priority", "executionInfo", "url",
        "metadata", "poolInfo",
    }
)  # fmt: skip


def create_job(call: Call) -> Answer:
    """POST /jobs; its Location names no job, as that of the service."""
    job = call.state.create_job(call.sent())
    return bodies.created(f"{call.state.url}/jobs/job-1", job.body)


def list_jobs(call: Call) -> Answer:
    """GET /jobs."""
    jobs = [(job.number, job.body) for job in call.state.jobs()]
    return call.listed("jobs", jobs, _JOB_NAMES)


def get_job(call: Call) -> Answer:
    """GET or HEAD /jobs/{job}."""
    return call.entity("jobs", _job(call).body)


def patch_job(call: Call) -> Answer:
    """PATCH /jobs/{job}."""
    call.state.patch_job(_job(call).id, call.sent())
    return _changed(call)


def replace_job(call: Call) -> Answer:
    """PUT /jobs/{job}."""
    call.state.replace_job(_job(call).id, call.sent())
    return _changed(call)


def delete_job(call: Call) -> Answer:
    """DELETE /jobs/{job}."""
    call.state.delete_job(_job(call).id)
    return Answer(202)


def terminate_job(call: Call) -> Answer:
    """POST /jobs/{job}/terminate."""
    reason = call.sent().get("terminateReason") or "UserTerminate"
    call.state.terminate_job(_job(call).id, reason)
    return Answer(202, None, _located(call))


def disable_job(call: Call) -> Answer:
    """POST /jobs/{job}/disable."""
    what = str(call.sent().get("disableTasks")).lower()
    if what not in {"requeue", "terminate", "wait"}:
        refuse_property("disableTasks", what, "requeue, terminate or wait")
    call.state.disable_job(_job(call).id, what)
    return Answer(202, None, _located(call))


def enable_job(call: Call) -> Answer:
    """POST /jobs/{job}/enable."""
    call.state.enable_job(_job(call).id)
    return Answer(202, None, _located(call))


def count_tasks(call: Call) -> Answer:
    """GET /jobs/{job}/taskcounts, late as those of the service."""
    state = call.state
    tasks = state.tasks_of(call.ids["job"])
    delay = state.settings.counts_delay_seconds
    return bodies.task_counts(state.url, tasks, state.time(), delay)


def list_preparations(call: Call) -> Answer:
    """GET /jobs/{job}/jobpreparationandreleasetaskstatus: there are none here."""
    call.state.job(call.ids["job"])
    return call.listed("jobpreparationandreleasetaskstatuslist", [])


def _job(call: Call) -> Job:
    """Return the job of the path, if the conditions of the request hold for it."""
    job = call.state.job(call.ids["job"])
    call.check_conditions(job.body)
    return job


def _changed(call: Call) -> Answer:
    return Answer(200, None, _located(call))


def _located(call: Call) -> dict[str, str]:
    body: Body = call.state.job(call.ids["job"]).body
    return {"DataServiceId": body["url"], **bodies.tags(body)}
