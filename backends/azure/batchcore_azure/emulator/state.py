"""All that the emulated account holds, and the only way to change it.

Who may call what:

- The HTTP service (`app`) calls what a client may ask for: `create_…`, `patch_…`, `replace_…`,
  `resize_pool`, `terminate_…`, `delete_…`, `add_task`, `remove_nodes` and the like. It executes
  nothing: it notes what is wanted.
- The scheduler waits on `changed` and carries it out: it looks at `pools()`, `nodes_of(pool)`,
  `jobs()`, `tasks_of(job, "active")`; gives pools their nodes (`add_node`, `set_node_state`,
  `remove_node`, `finish_resize`, within `allowed_nodes`); starts tasks (`start_task`, which
  returns the number of the run), asks `must_stop(task, run)` while they run, and reports
  (`set_task_state(job, task, "completed", run=run, exitCode=0, result="success", …)`). A retry
  is `set_task_state(…, "active", run=run, retryCount=n, lastRetryTime=…)`.
- Tests and the control routes order accidents: `preempt_node`, `lose_node`, `order_resize_errors`,
  `order_start_task_exit`, and `quota`, whose fields may be set.

Jobs and pools end by themselves: a `terminating` or `deleting` job once none of its tasks is
`running`, a `deleting` pool once its last node is removed. Any method that takes ids takes them in
any spelling (`Job1` is `job1`); what does not exist raises `Refusal` with the service's answer.
"""

from __future__ import annotations

from batchcore_azure.emulator.records import Body
from batchcore_azure.emulator.tasks import ENDED_BY_USER, Tasks


class State(Tasks):
    """The whole account: `Ground`, `Pools`, `Jobs`, `Tasks`, and what concerns several of them."""

    def disable_job(self, job_id: str, what: str) -> None:
        """Stop starting tasks; those that run are `requeue`d, `terminate`d, or awaited (`wait`)."""
        with self.changed:
            job = self.open_job(job_id)
            self._move(job.body, "disabling")
            for task in list(job.in_state["running"].values()):
                if what == "requeue":
                    self.requeue_task(job.id, task.id)
                elif what == "terminate":
                    task.ending = ENDED_BY_USER
            self._settle(job, held=self.settings.hold_endings)
            self.changed.notify_all()

    def enable_job(self, job_id: str) -> None:
        """Go on starting tasks."""
        with self.changed:
            job = self.open_job(job_id)
            self._move(job.body, "active")
            self.changed.notify_all()

    def preempt_node(self, pool_id: str, node_id: str) -> None:
        """Take a spot node away: its tasks wait again, its files are lost, its id stays."""
        with self.changed:
            self.set_node_state(pool_id, node_id, "preempted")
            self._requeue_all(node_id)

    def lose_node(self, pool_id: str, node_id: str) -> None:
        """Let a node disappear with all that is on it; its tasks wait again."""
        with self.changed:
            self.node(pool_id, node_id)
            self.remove_node(pool_id, node_id)
            self._requeue_all(node_id)

    def order_resize_errors(self, pool_id: str, errors: list[Body]) -> None:
        """Let the resize of a pool, also one that goes on, end with these errors."""
        with self.changed:
            self.pool(pool_id).resize_errors = errors
            self.changed.notify_all()

    def order_start_task_exit(self, pool_id: str, exit_code: int | None) -> None:
        """Let every start task of a pool end with a code from now on; None runs them again."""
        with self.changed:
            self.pool(pool_id).start_task_exit = exit_code
            self.changed.notify_all()

    def _requeue_all(self, node_id: str) -> None:
        for job in self.jobs():
            for task in list(job.in_state["running"].values()):
                if task.body["nodeInfo"]["nodeId"].lower() == node_id.lower():
                    self.requeue_task(job.id, task.id)
