"""Answers about tasks."""

from __future__ import annotations

from batchcore_azure.emulator import bodies
from batchcore_azure.emulator.bodies import Answer
from batchcore_azure.emulator.call import Call
from batchcore_azure.emulator.records import Body, Refusal, Task

_TASK_NAMES = frozenset(
    {
        "id", "displayName", "state", "stateTransitionTime", "previousState", "creationTime",
        "previousStateTransitionTime", "lastModified", "eTag", "executionInfo", "nodeInfo", "url",
        "constraints", "commandLine",
    }
)  # fmt: skip
_MOST_AT_ONCE = 100


def add_task(call: Call) -> Answer:
    """POST /jobs/{job}/tasks."""
    task = call.state.add_task(call.ids["job"], call.sent())
    return bodies.created(task.body["url"], task.body)


def add_tasks(call: Call) -> Answer:
    """POST /jobs/{job}/addtaskcollection: each task has an answer of its own."""
    call.state.open_job(call.ids["job"])
    sent = call.sent().get("value") or []
    if len(sent) > _MOST_AT_ONCE:
        raise Refusal(
            413, "RequestBodyTooLarge", "The size of the request body exceeds the maximum size."
        )
    context = f"{call.state.url}/$metadata#taskaddresult"
    return Answer(200, {"odata.metadata": context, "value": [_added(call, one) for one in sent]})


def _added(call: Call, sent: Body) -> Body:
    task_id = str(sent.get("id", ""))
    if call.fault is not None and call.fault.hits(task_id):
        refusal = Refusal(call.fault.status, call.fault.code, call.fault.message)
        return _not_added(call, task_id, call.fault.status_of_entry, refusal)
    try:
        return bodies.added(call.state.add_task(call.ids["job"], sent).body)
    except Refusal as exc:
        return _not_added(call, task_id, "ClientError", exc)


def _not_added(call: Call, task_id: str, status: str, refusal: Refusal) -> Body:
    return bodies.not_added(task_id, status, refusal, call.request_id, call.state.time())


def list_tasks(call: Call) -> Answer:
    """GET /jobs/{job}/tasks."""
    tasks = [(task.number, task.body) for task in call.state.tasks_of(call.ids["job"])]
    return call.listed("tasks", tasks, _TASK_NAMES)


def get_task(call: Call) -> Answer:
    """GET or HEAD /jobs/{job}/tasks/{task}."""
    return call.entity("tasks", _task(call).body)


def replace_task(call: Call) -> Answer:
    """PUT /jobs/{job}/tasks/{task}: its constraints."""
    task = _task(call)
    call.state.replace_task(task.job_id, task.id, call.sent())
    return Answer(200, None, {"DataServiceId": task.body["url"], **bodies.tags(task.body)})


def delete_task(call: Call) -> Answer:
    """DELETE /jobs/{job}/tasks/{task}."""
    task = _task(call)
    call.state.delete_task(task.job_id, task.id)
    return Answer(200)


def terminate_task(call: Call) -> Answer:
    """POST /jobs/{job}/tasks/{task}/terminate."""
    task = _task(call)
    call.state.terminate_task(task.job_id, task.id)
    return Answer(204, None, {"DataServiceId": task.body["url"], **bodies.tags(task.body)})


def reactivate_task(call: Call) -> Answer:
    """POST /jobs/{job}/tasks/{task}/reactivate."""
    task = _task(call)
    call.state.reactivate_task(task.job_id, task.id)
    return Answer(204, None, {"DataServiceId": task.body["url"], **bodies.tags(task.body)})


def list_subtasks(call: Call) -> Answer:
    """GET /jobs/{job}/tasks/{task}/subtasksinfo: there are no multi-instance tasks here."""
    call.state.task(call.ids["job"], call.ids["task"])
    return call.listed("subtasks", [])


def _task(call: Call) -> Task:
    """Return the task of the path, if the conditions of the request hold for it."""
    task = call.state.task(call.ids["job"], call.ids["task"])
    call.check_conditions(task.body)
    return task
