"""Jobs: their beginnings and their ends."""

from __future__ import annotations

from batchcore_azure.emulator import rules
from batchcore_azure.emulator.pools import Pools
from batchcore_azure.emulator.records import Body, Job, Refusal

ENDED_WITH_JOB = "Task was ended because its job ended"


class Jobs(Pools):
    """Creates, ends and deletes jobs."""

    # -- for the HTTP service

    def create_job(self, sent: Body) -> Job:
        """Add a job; without tasks and with `terminatejob` it completes at once.

        Its pool need not be there: the tasks then wait for it (azure-batch 15.1, BatchPoolInfo).
        """
        with self.changed:
            rules.check_job(sent)
            known = self._jobs.get(sent["id"].lower())
            if known is not None:
                self._refuse_deleting(known)
                raise Refusal(409, "JobExists", "The specified job already exists.")
            active = sum(job.state != "completed" for job in self._jobs.values())
            if active >= self.quota.jobs:
                raise Refusal(
                    409,
                    "ActiveJobAndScheduleQuotaReached",
                    "The active job and job schedule quota for the account has been reached.",
                )
            job = Job(self._new(sent, "jobs", **rules.job_defaults(sent)), next(self._numbers))
            job.body["executionInfo"] = {
                "startTime": self.stamp(),
                "poolId": sent["poolInfo"]["poolId"],
            }
            self._move(job.body, "active")
            self._jobs[job.id.lower()] = job
            self._complete_when_done(job)
            self.changed.notify_all()
            return job

    def job(self, job_id: str) -> Job:
        """Return a job; raises `Refusal` 404 JobNotFound."""
        with self.changed:
            try:
                return self._jobs[job_id.lower()]
            except KeyError:
                raise Refusal(404, "JobNotFound", "The specified job does not exist.") from None

    def open_job(self, job_id: str) -> Job:
        """Return a job that still changes; raises `Refusal` 409 for one that has ended or ends."""
        with self.changed:
            job = self.job(job_id)
            self._refuse_deleting(job)
            if job.state == "terminating":
                raise Refusal(409, "JobBeingTerminated", "The specified job is being terminated.")
            if job.state == "completed":
                raise Refusal(409, "JobCompleted", "The specified job is already completed.")
            return job

    def jobs(self) -> list[Job]:
        """Return all jobs in order of creation."""
        with self.changed:
            return list(self._jobs.values())

    def patch_job(self, job_id: str, changes: Body) -> None:
        """Replace the named properties; an absent or null one stays."""
        with self.changed:
            job = self.open_job(job_id)
            rules.check_job_change(job.body, changes)
            job.body |= {name: value for name, value in changes.items() if value is not None}
            if changes.get("constraints") is not None:
                job.body["constraints"] = rules.job_constraints(changes["constraints"])
            self._touch(job.body)
            self._complete_when_done(job)
            self.changed.notify_all()

    def replace_job(self, job_id: str, changes: Body) -> None:
        """Set the changeable properties; an absent one goes back to its default."""
        with self.changed:
            job = self.open_job(job_id)
            defaults = rules.job_defaults({})
            for name in ("priority", "maxParallelTasks", "allowTaskPreemption"):
                job.body[name] = defaults[name]
            job.body.pop("metadata", None)
            self.patch_job(job_id, {"constraints": {}, **changes})

    def terminate_job(self, job_id: str, reason: str = "UserTerminate") -> None:
        """End a job: what runs is killed, what is `active` stays so for ever."""
        with self.changed:
            job = self.open_job(job_id)
            self._terminate(job, reason)
            self.changed.notify_all()

    def delete_job(self, job_id: str) -> None:
        """Mark a job `deleting`; it is gone once nothing of it runs."""
        with self.changed:
            job = self.job(job_id)
            self._refuse_deleting(job)
            self._move(job.body, "deleting")
            for task in list(job.in_state["running"].values()):
                task.ending = ENDED_WITH_JOB
            self._settle(job, held=self.settings.hold_endings)
            self.changed.notify_all()

    def settle(self) -> None:
        """Let the endings happen that `EmulatorSettings.hold_endings` holds."""
        with self.changed:
            for job in self.jobs():
                self._settle(job, held=False)
            for pool in self.pools():
                self._forget_if_empty(pool, held=False)
            self.changed.notify_all()

    # -- inside

    def _refuse_deleting(self, job: Job) -> None:
        if job.state == "deleting":
            raise Refusal(409, "JobBeingDeleted", "The specified job is being deleted.")

    def _pool_of(self, job: Job) -> Body | None:
        pool = self._pools.get(job.body["poolInfo"]["poolId"].lower())
        return pool.body if pool else None

    def _terminate(self, job: Job, reason: str) -> None:
        self._move(job.body, "terminating")
        job.terminate_reason = reason
        for task in list(job.in_state["running"].values()):
            task.ending = ENDED_WITH_JOB
        self._settle(job, held=self.settings.hold_endings)

    def _complete_when_done(self, job: Job) -> None:
        """End a job that says so once all its tasks have completed: also one without any."""
        done = len(job.in_state["completed"]) == len(job.tasks)
        if job.state == "active" and done and job.body["onAllTasksComplete"] == "terminatejob":
            self._terminate(job, "AllTasksComplete")

    def _settle(self, job: Job, *, held: bool) -> None:
        """Finish what a job is at, if nothing of it runs any more."""
        if job.in_state["running"]:
            return
        if job.state == "disabling":
            self._move(job.body, "disabled")
        if held:
            return
        if job.state == "terminating":
            self._move(job.body, "completed")
            job.body["executionInfo"] |= {
                "endTime": self.stamp(),
                "terminateReason": job.terminate_reason,
            }
        if job.state == "deleting":
            for task in job.tasks.values():
                task.gone = True
            self._jobs.pop(job.id.lower(), None)
