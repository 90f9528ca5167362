"""Pools and their nodes."""

from __future__ import annotations

from typing import Any

from batchcore_azure.emulator import images, rules
from batchcore_azure.emulator.ground import Ground
from batchcore_azure.emulator.records import Body, Node, Pool, Refusal


class Pools(Ground):
    """Creates, resizes and deletes pools; their nodes come and go by order of the scheduler."""

    # -- for the HTTP service

    def create_pool(self, sent: Body) -> Pool:
        """Add a pool without nodes that is `resizing`; the scheduler gives it what it wants."""
        with self.changed:
            rules.check_pool(sent)
            images.check(sent["virtualMachineConfiguration"], self.time())
            if sent["id"].lower() in self._pools:
                raise Refusal(409, "PoolExists", "The specified pool already exists.")
            if len(self._pools) >= self.quota.pools:
                raise Refusal(
                    409, "PoolQuotaReached", "The pool quota for the account has been reached."
                )
            pool = Pool(self._new(sent, "pools", **rules.pool_defaults(sent)), next(self._numbers))
            self._move(pool.body, "active")
            self._move(pool.body, "resizing", "allocationState")
            self._pools[pool.id.lower()] = pool
            self.changed.notify_all()
            return pool

    def pool(self, pool_id: str) -> Pool:
        """Return a pool; raises `Refusal` 404 PoolNotFound."""
        with self.changed:
            try:
                return self._pools[pool_id.lower()]
            except KeyError:
                raise Refusal(404, "PoolNotFound", "The specified pool does not exist.") from None

    def pools(self) -> list[Pool]:
        """Return all pools in order of creation."""
        with self.changed:
            return list(self._pools.values())

    def patch_pool(self, pool_id: str, changes: Body) -> None:
        """Replace the named properties; an absent or null one stays."""
        with self.changed:
            pool = self._living_pool(pool_id)
            if "taskSlotsPerNode" in changes and pool.nodes:
                raise Refusal(
                    409,
                    "OperationInvalidForCurrentState",
                    "The number of task slots can change only while the pool has no nodes.",
                )
            pool.body |= {name: value for name, value in changes.items() if value is not None}
            self._changed_pool(pool)

    def replace_pool_properties(self, pool_id: str, changes: Body) -> None:
        """Set start task, packages and metadata; an absent one is removed."""
        with self.changed:
            pool = self._living_pool(pool_id)
            for name in ("startTask", "metadata", "applicationPackageReferences"):
                pool.body.pop(name, None)
            pool.body |= {name: value for name, value in changes.items() if value is not None}
            self._changed_pool(pool)

    def resize_pool(
        self,
        pool_id: str,
        *,
        dedicated: int | None = None,
        spot: int | None = None,
        timeout: str = "PT15M",
    ) -> None:
        """Want other numbers of nodes; the scheduler ends it by `finish_resize`."""
        with self.changed:
            pool = self._steady_pool(pool_id)
            if pool.body.get("enableAutoScale"):
                raise Refusal(
                    409,
                    "OperationInvalidForCurrentState",
                    "The pool scales by itself and cannot be resized.",
                )
            self._want(pool, dedicated, spot)
            pool.body["resizeTimeout"] = timeout
            self._changed_pool(pool)

    def stop_resize(self, pool_id: str) -> None:
        """End a resize with what is there, as an error ResizeStopped."""
        with self.changed:
            pool = self._living_pool(pool_id)
            if pool.body["allocationState"] != "resizing":
                raise Refusal(
                    409, "OperationInvalidForCurrentState", "The pool is not being resized."
                )
            self.finish_resize(
                pool_id,
                [{"code": "ResizeStopped", "message": "The resize operation was stopped."}],
            )

    def enable_autoscale(self, pool_id: str, changes: Body) -> None:
        """Let the pool scale by a formula; the scheduler evaluates it."""
        with self.changed:
            pool = self._steady_pool(pool_id)
            if not changes.get("autoScaleFormula") and not pool.body.get("autoScaleFormula"):
                raise Refusal(
                    400, "MissingRequiredProperty", "A required property is missing: formula."
                )
            pool.body |= {"enableAutoScale": True, **changes}
            pool.body.setdefault("autoScaleEvaluationInterval", "PT15M")
            self._changed_pool(pool)

    def disable_autoscale(self, pool_id: str) -> None:
        """Keep the nodes that are there."""
        with self.changed:
            pool = self._living_pool(pool_id)
            for name in ("autoScaleFormula", "autoScaleEvaluationInterval", "autoScaleRun"):
                pool.body.pop(name, None)
            pool.body["enableAutoScale"] = False
            self._changed_pool(pool)

    def remove_nodes(self, pool_id: str, node_ids: list[str]) -> None:
        """Ask for some nodes to leave; the scheduler takes them out."""
        with self.changed:
            pool = self._steady_pool(pool_id)
            leaving = [self.node(pool_id, node_id) for node_id in node_ids]
            for node in leaving:
                self._move(node.body, "leavingpool")
            spot = sum(not node.body["isDedicated"] for node in leaving)
            self._want(
                pool,
                pool.body["targetDedicatedNodes"] - (len(leaving) - spot),
                pool.body["targetLowPriorityNodes"] - spot,
            )
            self._changed_pool(pool)

    def delete_pool(self, pool_id: str) -> None:
        """Mark a pool `deleting`; it is gone once the scheduler has removed its last node."""
        with self.changed:
            pool = self._living_pool(pool_id)
            self._move(pool.body, "deleting")
            pool.body |= {"targetDedicatedNodes": 0, "targetLowPriorityNodes": 0}
            self._forget_if_empty(pool, held=self.settings.hold_endings)
            self.changed.notify_all()

    def node(self, pool_id: str, node_id: str) -> Node:
        """Return a node; raises `Refusal` 404 NodeNotFound."""
        with self.changed:
            try:
                return self.pool(pool_id).nodes[node_id.lower()]
            except KeyError:
                raise Refusal(404, "NodeNotFound", "The specified node does not exist.") from None

    # -- for the scheduler

    def nodes_of(self, pool_id: str) -> list[Node]:
        """Return the nodes of a pool in the order in which they came; none for no pool."""
        with self.changed:
            pool = self._pools.get(pool_id.lower())
            return list(pool.nodes.values()) if pool else []

    def allowed_nodes(self, pool_id: str, *, dedicated: bool) -> int:
        """Return how many nodes of one kind the account's quota leaves to a pool."""
        with self.changed:
            pool = self.pool(pool_id)
            name = "targetDedicatedNodes" if dedicated else "targetLowPriorityNodes"
            others = sum(
                rules.cores(other.body["vmSize"]) * other.body[name]
                for other in self._pools.values()
                if other is not pool
            )
            quota = self.quota.dedicated_cores if dedicated else self.quota.spot_cores
            return int(max(0, quota - others) // rules.cores(pool.body["vmSize"]))

    def add_node(self, pool_id: str, *, dedicated: bool = True, state: str = "creating") -> Node:
        """Add one node and return it."""
        with self.changed:
            pool = self.pool(pool_id)
            number = next(self._numbers)
            kind = "d" if dedicated else "p"
            name = f"tvm-{number:08x}_{kind}"
            body: Body = {
                "id": name,
                "url": f"{pool.body['url']}/nodes/{name}",
                "schedulingState": "enabled",
                "allocationTime": self.stamp(),
                "ipAddress": f"10.0.{number // 250 % 250}.{number % 250 + 4}",
                "affinityId": f"TVM:{name}",
                "vmSize": pool.body["vmSize"],
                "totalTasksRun": 0,
                "totalTasksSucceeded": 0,
                "runningTasksCount": 0,
                "runningTaskSlotsCount": 0,
                "isDedicated": dedicated,
                "nodeAgentInfo": {"version": "1.12.9", "lastUpdateTime": self.stamp()},
            }
            if "startTask" in pool.body:
                body["startTask"] = pool.body["startTask"]
            self._move(body, state)
            node = Node(pool.id, body, number)
            pool.nodes[name.lower()] = node
            self._count_nodes(pool)
            return node

    def set_node_state(self, pool_id: str, node_id: str, state: str, **service: Any) -> None:
        """Move a node; `service` is put into its body, as `startTaskInfo` or `errors`."""
        with self.changed:
            node = self.node(pool_id, node_id)
            if node.state != state:
                self._move(node.body, state)
            node.body |= service
            self._count_nodes(self.pool(pool_id))

    def remove_node(self, pool_id: str, node_id: str) -> None:
        """Take a node out of its pool; one that is gone already is no error."""
        with self.changed:
            pool = self._pools.get(pool_id.lower())
            if pool is None:
                return
            pool.nodes.pop(node_id.lower(), None)
            self._count_nodes(pool)
            self._forget_if_empty(pool, held=self.settings.hold_endings)

    def finish_resize(self, pool_id: str, errors: list[Body] | None = None) -> None:
        """Make a pool `steady`; the errors stay until its next resize."""
        with self.changed:
            pool = self.pool(pool_id)
            self._move(pool.body, "steady", "allocationState")
            if errors:
                pool.body["resizeErrors"] = errors
            self.changed.notify_all()

    def autoscale_to(
        self, pool_id: str, results: str, *, dedicated: int | None = None, spot: int | None = None
    ) -> None:
        """Note one evaluation of the formula, and want what it says."""
        with self.changed:
            pool = self.pool(pool_id)
            pool.body["autoScaleRun"] = {"timestamp": self.stamp(), "results": results}
            before = (pool.body["targetDedicatedNodes"], pool.body["targetLowPriorityNodes"])
            wanted = (
                before[0] if dedicated is None else dedicated,
                before[1] if spot is None else spot,
            )
            there = (pool.body["currentDedicatedNodes"], pool.body["currentLowPriorityNodes"])
            if not wanted == before == there and pool.body["allocationState"] == "steady":
                self._want(pool, *wanted)
            self.changed.notify_all()

    def autoscale_failed(self, pool_id: str, code: str, message: str) -> None:
        """Note an evaluation that failed; the size stays."""
        with self.changed:
            self.pool(pool_id).body["autoScaleRun"] = {
                "timestamp": self.stamp(),
                "error": {"code": code, "message": message, "values": []},
            }
            self.changed.notify_all()

    # -- inside

    def _living_pool(self, pool_id: str) -> Pool:
        pool = self.pool(pool_id)
        if pool.body["state"] == "deleting":
            raise Refusal(409, "PoolBeingDeleted", "The specified pool is being deleted.")
        return pool

    def _steady_pool(self, pool_id: str) -> Pool:
        pool = self._living_pool(pool_id)
        if pool.body["allocationState"] != "steady":
            raise Refusal(409, "PoolBeingResized", "The specified pool is being resized.")
        return pool

    def _want(self, pool: Pool, dedicated: int | None, spot: int | None) -> None:
        if dedicated is not None:
            pool.body["targetDedicatedNodes"] = dedicated
        if spot is not None:
            pool.body["targetLowPriorityNodes"] = spot
        pool.body.pop("resizeErrors", None)
        self._move(pool.body, "resizing", "allocationState")

    def _changed_pool(self, pool: Pool) -> None:
        self._touch(pool.body)
        self.changed.notify_all()

    def _count_nodes(self, pool: Pool) -> None:
        there = [node for node in pool.nodes.values() if node.state != "preempted"]
        dedicated = sum(bool(node.body["isDedicated"]) for node in there)
        pool.body["currentDedicatedNodes"] = dedicated
        pool.body["currentLowPriorityNodes"] = len(there) - dedicated
        self.changed.notify_all()

    def _forget_if_empty(self, pool: Pool, *, held: bool) -> None:
        if pool.body["state"] == "deleting" and not pool.nodes and not held:
            self._pools.pop(pool.id.lower(), None)
            self.changed.notify_all()
