"""How pools get their nodes and lose them, and how a node starts."""

from __future__ import annotations

import itertools
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from batchcore_azure.emulator.autoscale import FormulaError, evaluate
from batchcore_azure.emulator.execution import Executor, Outcome
from batchcore_azure.emulator.failures import TaskFailure, exit_failure
from batchcore_azure.emulator.machines import Machine, RunSettings, Threads
from batchcore_azure.emulator.places import NodePlace, TaskPlace, auto_user
from batchcore_azure.emulator.records import Node, Pool, Refusal
from batchcore_azure.emulator.state import State

_QUOTA = {
    True: ("AccountCoreQuotaReached", "The account's core quota has been reached"),
    False: ("AccountSpotCoreQuotaReached", "The account's spot core quota has been reached"),
}
_BUSY = "running"


class Allocation:
    """Gives pools the nodes that they want. Each method holds the state's lock."""

    def __init__(
        self, state: State, executor: Executor, root: Path, settings: RunSettings, threads: Threads
    ) -> None:
        """Keep what nodes are made of; `root` is the directory for all their directories."""
        self._state = state
        self._executor = executor
        self._root = root
        self._settings = settings
        self._threads = threads
        self._numbers = itertools.count(1)
        self._scaling: set[str] = set()
        self.machines: dict[str, Machine] = {}
        self.dying: set[Machine] = set()

    def step(self) -> None:
        """Bring nodes and pools one step nearer to what is wanted."""
        for pool in self._state.pools():
            if pool.body["state"] == "deleting":
                for node in self._state.nodes_of(pool.id):
                    self._state.lose_node(pool.id, node.id)
                continue
            self._scale(pool)
            if pool.body["allocationState"] == "resizing":
                self._resize(pool)
            self._keep(pool)
        there = {node.id for pool in self._state.pools() for node in pool.nodes.values()}
        for gone in self.machines.keys() - there:
            self._retire(gone)

    def machine(self, node_id: str) -> Machine | None:
        """Return a node's machine, None while it has none."""
        return self.machines.get(node_id)

    # -- how many

    def _resize(self, pool: Pool) -> None:
        """Add and remove nodes; what quota or a test forbids ends as the pool's resize errors."""
        ordered, pool.resize_errors = pool.resize_errors, []
        errors = list(ordered)
        for node in [node for node in pool.nodes.values() if node.state == "leavingpool"]:
            self._state.lose_node(pool.id, node.id)
        for dedicated in (True, False):
            target = pool.body["targetDedicatedNodes" if dedicated else "targetLowPriorityNodes"]
            nodes = [n for n in pool.nodes.values() if n.body["isDedicated"] is dedicated]
            allowed = self._state.allowed_nodes(pool.id, dedicated=dedicated)
            if not ordered:
                for _ in range(min(target, allowed) - len(nodes)):
                    self._state.add_node(pool.id, dedicated=dedicated)
            if target > allowed and not ordered:
                code, message = _QUOTA[dedicated]
                errors.append({"code": code, "message": message, "values": []})
            for node in sorted(nodes, key=_is_busy)[: max(0, len(nodes) - target)]:
                self._leave(pool, node)
        self._state.finish_resize(pool.id, errors)

    def _leave(self, pool: Pool, node: Node) -> None:
        """Take a node away: with its tasks, or after them where a formula says `taskcompletion`."""
        if pool.body.get("enableAutoScale") and node.state == _BUSY:
            self._state.set_node_state(pool.id, node.id, node.state, schedulingState="disabled")
        else:
            self._state.lose_node(pool.id, node.id)

    def _scale(self, pool: Pool) -> None:
        if not pool.body.get("enableAutoScale") or pool.id in self._scaling:
            return
        self._scaling.add(pool.id)
        try:
            found = evaluate(pool.body["autoScaleFormula"], self.metrics(pool))
            results = ";".join(f"{name}={value}" for name, value in found.items())
            sizes = {
                key: max(0, int(found[name]))
                for key, name in (
                    ("dedicated", "$TargetDedicatedNodes"),
                    ("spot", "$TargetLowPriorityNodes"),
                )
                if name in found
            }
            self._state.autoscale_to(pool.id, results, **sizes)
        except FormulaError as error:
            self._state.autoscale_failed(pool.id, error.code, str(error))
        self._threads.spawn("autoscale", lambda: self._scale_again(pool.id))

    def metrics(self, pool: Pool) -> dict[str, float]:
        """Return the variables that the pool's formula may look at."""
        own = pool.id.lower()
        jobs = [
            job
            for job in self._state.jobs()
            if job.state == "active" and job.body["poolInfo"]["poolId"].lower() == own
        ]
        active, running = (
            float(sum(len(job.in_state[state]) for job in jobs)) for state in ("active", "running")
        )
        return {
            "$ActiveTasks": active,
            "$RunningTasks": running,
            "$PendingTasks": active + running,
            "$CurrentDedicatedNodes": float(pool.body.get("currentDedicatedNodes", 0)),
            "$CurrentLowPriorityNodes": float(pool.body.get("currentLowPriorityNodes", 0)),
        }

    def evaluate(self, pool: Pool, formula: str) -> str:
        """Return what a formula would set now; raises `ValueError` for one it cannot evaluate."""
        found = evaluate(formula, self.metrics(pool))
        return ";".join(f"{name}={value}" for name, value in found.items())

    def _scale_again(self, pool_id: str) -> None:
        self._threads.pause(self._settings.autoscale_seconds)
        with self._state.changed:
            self._scaling.discard(pool_id)
            self._state.changed.notify_all()

    # -- each one

    def _keep(self, pool: Pool) -> None:
        """Give each node its machine, and take it from those that were preempted."""
        for node in list(pool.nodes.values()):
            if node.state == "preempted":
                if node.id in self.machines:
                    self._retire(node.id)
                    self._threads.spawn("refill", partial(self._refill, node))
            elif node.id not in self.machines:
                self._boot(pool, node)
            elif node.body["schedulingState"] == "disabled" and not self.machines[node.id].runs:
                self._state.lose_node(pool.id, node.id)

    def _boot(self, pool: Pool, node: Node) -> None:
        dedicated = bool(node.body["isDedicated"])
        root = self._root / f"{node.id}-{next(self._numbers)}"
        machine = Machine(NodePlace(root, pool.id, node.id, dedicated))
        machine.place.make()
        self.machines[node.id] = machine
        self._threads.spawn(node.id, lambda: self._start(pool, machine))

    def _retire(self, node_id: str) -> None:
        machine = self.machines.pop(node_id)
        machine.start.stop("")
        for run in machine.runs:
            run.control.stop("")
        self.dying.add(machine)
        self._threads.spawn("retire", lambda: self._forget(machine))

    def _forget(self, machine: Machine) -> None:
        """Remove a lost node's files once nothing runs there any more."""
        with self._state.changed:
            self._state.changed.wait_for(lambda: not machine.runs or self._threads.closing.is_set())
        machine.place.lose()
        with self._state.changed:
            self.dying.discard(machine)
            self._state.changed.notify_all()

    def _refill(self, node: Node) -> None:
        self._threads.pause(self._settings.refill_seconds)
        with self._state.changed, suppress(Refusal):
            self._state.set_node_state(node.pool_id, node.id, "creating")
            self._state.changed.notify_all()

    def _start(self, pool: Pool, machine: Machine) -> None:
        """Take a node from its order to `idle`, or to the state that says why it is not."""
        if not self._threads.pause(self._settings.boot_seconds):
            return
        self._move(machine, "starting")
        try:
            for image in _images(pool):
                self._executor.prefetch(image)
        except TaskFailure as failure:
            error = {"code": failure.code, "message": failure.message, "errorDetails": []}
            self._move(machine, "unusable", errors=[error])
            return
        task = pool.body.get("startTask")
        if task is not None:
            waits = task.get("waitForSuccess", True)
            if waits:
                self._move(machine, "waitingforstarttask")
            info = self._run_start_task(pool, task, machine)
            if waits and info["result"] == "failure":
                self._move(machine, "starttaskfailed", startTaskInfo=info)
                return
            self._move(machine, "idle", startTaskInfo=info)
            return
        self._move(machine, "idle")

    def _run_start_task(self, pool: Pool, task: dict[str, Any], machine: Machine) -> dict[str, Any]:
        place = TaskPlace(machine.place, "startup", auto_user(task, 0), self._names())
        started, tries = self._state.stamp(), 1 + int(task.get("maxTaskRetryCount") or 0)
        outcome = _ordered(pool.start_task_exit or 0)
        retry = -1
        while retry < 0 or (outcome.retryable and retry + 1 < tries):
            retry += 1
            if pool.start_task_exit is None:
                outcome = self._executor.run(task, place, machine.start)
        return {
            "state": "completed",
            "startTime": started,
            "endTime": self._state.stamp(),
            "retryCount": retry,
            **outcome.wire(),
        }

    def _names(self) -> dict[str, str]:
        return {
            "AZ_BATCH_ACCOUNT_NAME": self._state.settings.account,
            "AZ_BATCH_ACCOUNT_URL": self._state.url,
        }

    def _move(self, machine: Machine, state: str, **service: Any) -> None:
        """Move a node, unless it was lost meanwhile."""
        place = machine.place
        with self._state.changed, suppress(Refusal):
            if self.machines.get(place.node_id) is machine:
                self._state.set_node_state(place.pool_id, place.node_id, state, **service)


def _is_busy(node: Node) -> bool:
    return node.state == _BUSY


def _images(pool: Pool) -> list[str]:
    machine = pool.body.get("virtualMachineConfiguration") or {}
    return list((machine.get("containerConfiguration") or {}).get("containerImageNames") or ())


def _ordered(code: int) -> Outcome:
    return Outcome(exit_code=code, failure=exit_failure().wire() if code else None)
