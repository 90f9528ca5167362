"""Runs the tasks of an emulated account on the nodes of its pools."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from batchcore_azure.emulator import dependencies
from batchcore_azure.emulator.allocation import Allocation
from batchcore_azure.emulator.execution import Executor, Outcome
from batchcore_azure.emulator.machines import Machine, Run, RunSettings, Threads
from batchcore_azure.emulator.places import TaskPlace, auto_user, seconds, task_directory
from batchcore_azure.emulator.records import Job, Refusal, Task
from batchcore_azure.emulator.state import State

_READY = {"idle", "running"}
_LONGEST_WAIT = 60.0


class Scheduler:
    """One loop that looks at the state at each change, and a thread for each task that runs."""

    def __init__(
        self, state: State, executor: Executor, root: Path, settings: RunSettings | None = None
    ) -> None:
        """Keep what is to be run; nothing happens before `start`.

        `root` is a directory for the nodes, which the nodes' users must be able to pass through.
        """
        self._state = state
        self._executor = executor
        self._threads = Threads()
        self._numbers = itertools.count(1)
        self._alive: set[tuple[str, str]] = set()
        self.allocation = Allocation(
            state, executor, root, settings or RunSettings(), self._threads
        )

    def start(self) -> None:
        """Begin to give pools their nodes and tasks their turn."""
        self._threads.spawn("batch-scheduler", self._loop)

    def stop(self) -> None:
        """Kill what runs and wait for it to end; what the service says of it stays as it is."""
        with self._state.changed:
            self._threads.closing.set()
            for machine in self.allocation.machines.values():
                machine.start.stop("")
                for run in machine.runs:
                    run.control.stop("")
            self._state.changed.notify_all()
        self._threads.join()
        self._executor.close()
        for machine in self.allocation.machines.values():
            machine.place.lose()

    # -- the loop; it holds the state's lock but while it waits

    def _loop(self) -> None:
        with self._state.changed:
            while not self._threads.closing.is_set():
                self.allocation.step()
                wait = self._end_jobs()
                self._stop_runs()
                self._start_tasks()
                self._state.changed.wait(wait)

    def _stop_runs(self) -> None:
        for machine in self.allocation.machines.values():
            for run in machine.runs:
                reason = self._state.must_stop(run.task, run.number)
                if reason is not None:
                    run.control.stop(reason)

    def _end_jobs(self) -> float:
        """End jobs whose time is over; returns how long until the next may be."""
        wait = _LONGEST_WAIT
        for job in self._state.jobs():
            limit = seconds((job.body.get("constraints") or {}).get("maxWallClockTime"))
            if job.state != "active" or limit is None:
                continue
            started = datetime.fromisoformat(job.body["executionInfo"]["startTime"])
            left = (started + timedelta(seconds=limit) - self._state.time()).total_seconds()
            if left <= 0:
                self._state.terminate_job(job.id, "MaxWallClockTimeExpiry")
            else:
                wait = min(wait, left)
        return wait

    def _start_tasks(self) -> None:
        for job in sorted(self._state.jobs(), key=lambda job: -job.body["priority"]):
            if job.state == "active" and job.in_state["active"]:
                for task in self._due(job):
                    machine = self._room(job, task)
                    if machine is None:
                        break
                    self._begin(job, task, machine)

    def _due(self, job: Job) -> Iterator[Task]:
        """Yield the tasks of a job that may start, in their order."""
        most = int(job.body["maxParallelTasks"])
        for task in self._state.tasks_of(job.id, "active"):
            if 0 <= most <= len(job.in_state["running"]):
                return
            # The last run of a task that was sent back to the queue may still be dying.
            if (job.id, task.id) in self._alive:
                continue
            if "dependsOn" not in task.body or dependencies.met(task.body, job.tasks):
                yield task

    def _room(self, job: Job, task: Task) -> Machine | None:
        """Return a node with free slots: the emptiest, or the fullest of a pool that packs."""
        with suppress(Refusal):
            pool = self._state.pool(job.body["poolInfo"]["poolId"])
            needed, slots = int(task.body["requiredSlots"]), int(pool.body["taskSlotsPerNode"])
            fill = str((pool.body.get("taskSchedulingPolicy") or {}).get("nodeFillType")).lower()
            free = [
                (slots - machine.used(), machine)
                for node in pool.nodes.values()
                if node.state in _READY
                and node.body["schedulingState"] == "enabled"
                and (machine := self.allocation.machine(node.id)) is not None
            ]
            fitting = [(room, machine) for room, machine in free if room >= needed]
            choose = min if fill == "pack" else max
            if fitting:
                return choose(fitting, key=lambda pair: pair[0])[1]
        return None

    # -- one run

    def _begin(self, job: Job, task: Task, machine: Machine) -> None:
        place = machine.place
        number = self._state.start_task(job.id, task.id, place.pool_id, place.node_id)
        run = Run(task, number, int(task.body["requiredSlots"]))
        machine.runs.add(run)
        self._alive.add((job.id, task.id))
        self._count(machine)
        names = {
            "AZ_BATCH_ACCOUNT_NAME": self._state.settings.account,
            "AZ_BATCH_ACCOUNT_URL": self._state.url,
            "AZ_BATCH_JOB_ID": job.id,
            "AZ_BATCH_TASK_ID": task.id,
        }
        user = auto_user(task.body, next(self._numbers))
        where = TaskPlace(place, task_directory(job.id, task.id), user, names)
        body = dict(task.body)
        common = job.body.get("commonEnvironmentSettings") or []
        body["environmentSettings"] = [*common, *(body.get("environmentSettings") or ())]
        self._threads.spawn(
            f"{job.id}/{task.id}",
            lambda: self._end(run, machine, self._executor.run(body, where, run.control)),
        )

    def _end(self, run: Run, machine: Machine, outcome: Outcome) -> None:
        with self._state.changed:
            machine.runs.discard(run)
            self._alive.discard((run.task.job_id, run.task.id))
            if run.control.reason != "":
                self._report(run, outcome)
            self._count(machine, ended=outcome)
            self._state.changed.notify_all()

    def _report(self, run: Run, outcome: Outcome) -> None:
        """Tell the service how a run ended: over, or once more."""
        task, stamp = run.task, self._state.stamp()
        most, done = (
            int(task.body["constraints"]["maxTaskRetryCount"]),
            task.execution["retryCount"],
        )
        again = outcome.retryable and task.ending is None and (most < 0 or done < most)
        if again:
            self._state.set_task_state(
                task.job_id,
                task.id,
                "active",
                run=run.number,
                retryCount=done + 1,
                lastRetryTime=stamp,
            )
        else:
            self._state.set_task_state(
                task.job_id, task.id, "completed", run=run.number, endTime=stamp, **outcome.wire()
            )

    def _count(self, machine: Machine, ended: Outcome | None = None) -> None:
        """Let the service's view of a node show what runs there."""
        place = machine.place
        with suppress(Refusal):
            node = self._state.node(place.pool_id, place.node_id)
            if self.allocation.machine(place.node_id) is not machine or node.state not in _READY:
                return
            succeeded = ended is not None and ended.failure is None
            self._state.set_node_state(
                place.pool_id,
                place.node_id,
                "running" if machine.runs else "idle",
                runningTasksCount=len(machine.runs),
                runningTaskSlotsCount=machine.used(),
                totalTasksRun=node.body["totalTasksRun"] + (ended is not None),
                totalTasksSucceeded=node.body["totalTasksSucceeded"] + succeeded,
            )
