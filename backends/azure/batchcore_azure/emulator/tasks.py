"""Tasks: adding, running and ending them."""

from __future__ import annotations

from typing import Any

from batchcore_azure.emulator import rules
from batchcore_azure.emulator.jobs import Jobs
from batchcore_azure.emulator.records import Body, Refusal, Task

ENDED_BY_USER = "Task was ended by user request"


class Tasks(Jobs):
    """Adds tasks to jobs and moves them."""

    # -- for the HTTP service

    def add_task(self, job_id: str, sent: Body) -> Task:
        """Add a task, `active`."""
        with self.changed:
            job = self.open_job(job_id)
            rules.check_task(sent, job.body, self._pool_of(job))
            if sent["id"].lower() in job.tasks:
                raise Refusal(409, "TaskExists", "The specified task already exists.")
            kind = f"jobs/{job.id}/tasks"
            body = self._new(sent, kind, **rules.task_defaults(sent, job.body))
            task = Task(job.id, body, next(self._numbers))
            task.body["executionInfo"] = {"retryCount": 0, "requeueCount": 0}
            self._move(task.body, "active")
            job.tasks[task.id.lower()] = task
            job.in_state["active"][task.id.lower()] = task
            self.changed.notify_all()
            return task

    def task(self, job_id: str, task_id: str) -> Task:
        """Return a task; raises `Refusal` 404 JobNotFound or TaskNotFound."""
        with self.changed:
            try:
                return self.job(job_id).tasks[task_id.lower()]
            except KeyError:
                raise Refusal(404, "TaskNotFound", "The specified task does not exist.") from None

    def tasks_of(self, job_id: str, state: str | None = None) -> list[Task]:
        """Return a job's tasks: all in the order of adding, or those that came to be in a state."""
        with self.changed:
            job = self.job(job_id)
            return list((job.tasks if state is None else job.in_state[state]).values())

    def replace_task(self, job_id: str, task_id: str, changes: Body) -> None:
        """Set a task's constraints; absent ones go back to their defaults."""
        with self.changed:
            task = self.task(job_id, task_id)
            if task.state == "completed":
                raise Refusal(409, "TaskCompleted", "The specified task is already completed.")
            task.body["constraints"] = rules.task_constraints(
                changes.get("constraints"), self.job(job_id).body
            )
            self._touch(task.body)
            self.changed.notify_all()

    def terminate_task(self, job_id: str, task_id: str) -> None:
        """End a task: at once where it waits, else by the scheduler."""
        with self.changed:
            task = self.task(job_id, task_id)
            if task.state == "completed":
                raise Refusal(409, "TaskCompleted", "The specified task is already completed.")
            if task.state == "running":
                task.ending = ENDED_BY_USER
            else:
                failure = task_ended(ENDED_BY_USER)
                end = self.stamp()
                self.set_task_state(
                    job_id, task_id, "completed", endTime=end, result="failure", failureInfo=failure
                )
            self.changed.notify_all()

    def reactivate_task(self, job_id: str, task_id: str) -> None:
        """Let a failed task run again, with its counts at zero."""
        with self.changed:
            task = self.task(job_id, task_id)
            self.open_job(job_id)
            if task.state != "completed":
                raise Refusal(409, "TaskNotCompleted", "The specified task is not completed.")
            if task.execution.get("result") == "success" or task.execution.get("exitCode") == 0:
                raise Refusal(409, "TaskSucceeded", "The specified task has succeeded.")
            task.body["executionInfo"] = {"retryCount": 0, "requeueCount": 0}
            self.set_task_state(job_id, task_id, "active")

    def delete_task(self, job_id: str, task_id: str) -> None:
        """Forget a task; what runs of it must stop."""
        with self.changed:
            task = self.task(job_id, task_id)
            job = self.job(job_id)
            task.gone = True
            del job.tasks[task.id.lower()]
            del job.in_state[task.state][task.id.lower()]
            self._complete_when_done(job)
            self._settle(job, held=self.settings.hold_endings)
            self.changed.notify_all()

    # -- for the scheduler

    def start_task(self, job_id: str, task_id: str, pool_id: str, node_id: str) -> int:
        """Move a task to `running` on a node; returns the number of this run.

        Raises `Refusal` where task or job are not `active` any more.
        """
        with self.changed:
            task, node = self.task(job_id, task_id), self.node(pool_id, node_id)
            if task.state != "active" or self.job(job_id).state != "active":
                raise Refusal(
                    409, "OperationInvalidForCurrentState", "The task is not to be started now."
                )
            task.run += 1
            task.ending = None
            root = f"workitems/{task.job_id}/job-1/{task.id}"
            task.body["nodeInfo"] = {
                "affinityId": node.body["affinityId"],
                "nodeUrl": node.body["url"],
                "poolId": node.pool_id,
                "nodeId": node.id,
                "taskRootDirectory": root,
                "taskRootDirectoryUrl": f"{node.body['url']}/files/{root}",
            }
            for name in ("endTime", "exitCode", "result", "failureInfo", "containerInfo"):
                task.execution.pop(name, None)
            self.set_task_state(job_id, task_id, "running", startTime=self.stamp())
            return task.run

    def must_stop(self, task: Task, run: int) -> str | None:
        """Return why this run shall stop: the message of `failureInfo`, or ``""`` if nobody asks.

        ``""`` is for a run that is over for the service: its task was deleted, or goes to another
        node. None means: go on.
        """
        with self.changed:
            return "" if task.gone or task.run != run else task.ending

    def set_task_state(
        self, job_id: str, task_id: str, state: str, *, run: int | None = None, **execution: Any
    ) -> bool:
        """Move a task and put `execution` (wire names, as `exitCode=1`) into its `executionInfo`.

        With `run`, the answer of a run that is over is dropped; returns whether it counted.
        ETag and `lastModified` stay, as on the service.
        """
        with self.changed:
            job = self._jobs.get(job_id.lower())
            task = job.tasks.get(task_id.lower()) if job else None
            if job is None or task is None or run not in {None, task.run}:
                return False
            task.execution.update(execution)
            if task.state != state:
                del job.in_state[task.state][task.id.lower()]
                job.in_state[state][task.id.lower()] = task
                task.body["previousState"] = task.state
                task.body["previousStateTransitionTime"] = task.body["stateTransitionTime"]
                self._move(task.body, state)
            if state != "running":
                task.ending = None
            self._complete_when_done(job)
            self._settle(job, held=self.settings.hold_endings)
            self.changed.notify_all()
            return True

    def requeue_task(self, job_id: str, task_id: str) -> None:
        """Send a running task back to `active`, its node being lost; not a retry."""
        with self.changed:
            task = self.task(job_id, task_id)
            task.run += 1
            task.body.pop("nodeInfo", None)
            count = task.execution["requeueCount"] + 1
            self.set_task_state(
                job_id, task_id, "active", requeueCount=count, lastRequeueTime=self.stamp()
            )


def task_ended(message: str) -> Body:
    """Return the `failureInfo` of a task that was made to end."""
    return {"category": "UserError", "code": "TaskEnded", "message": message, "details": []}
