"""`cancel`: TERM, the grace time, KILL; each attempt ends once, and nobody else's is touched."""

from __future__ import annotations

from batchcore.events import Event, TaskChanged
from batchcore.model import Task
from batchcore.record.requests import request_cancel
from batchcore.states import TaskState
from batchcore.testing.conformance.group import Group, says
from batchcore.testing.opened import Opened
from batchcore.testing.trial import Trial

_LONG = "sleep 600"
_CANCELED = "cancel: the end is seen in poll as canceled"
_NOTHING = "cancel: nothing happens to a task that has ended or is not known"
_ONCE = "poll: an attempt ends once, and its final state never changes"


class Canceling(Group):
    """Tasks that are canceled, and those beside them."""

    def test_tasks_that_run_and_tasks_that_wait_are_canceled(self, trial: Trial) -> None:
        names = [f"t{number}" for number in range(6)]
        run = trial.open(*(Task(name, shell=_LONG, grace=1) for name in names))
        run.submit()
        run.until(
            lambda update: update.state is TaskState.RUNNING,
            "poll: a task that runs is said to be running",
        )
        run.backend.cancel(run.context, names)
        ends = {name: run.end_of(name).state for name in names}
        assert set(ends.values()) == {TaskState.CANCELED}, says(_CANCELED, ends)

    def test_a_task_that_is_canceled_at_once_ends_canceled(self, trial: Trial) -> None:
        run = trial.open(Task("a", shell=_LONG, grace=1))
        run.submit()
        run.backend.cancel(run.context, ["a"])
        run.backend.cancel(run.context, ["a"])
        end = run.end_of("a")
        assert end.state is TaskState.CANCELED, says(_CANCELED, end)
        run.backend.cancel(run.context, ["a"])
        assert _ends(run) == {"a": {TaskState.CANCELED}}, says(_ONCE, run.updates)

    def test_a_canceled_task_is_asked_to_stop_and_may_clean_up(self, trial: Trial) -> None:
        trial.needs("live_logs")
        shell = f"trap 'echo asked; exit 3' TERM; echo ready; {_LONG} & wait"
        run = trial.open(Task("a", shell=shell, grace=10))
        run.submit()
        run.until_written("a", b"ready\n")
        run.backend.cancel(run.context, ["a"])
        end = run.end_of("a")
        assert end.state is TaskState.CANCELED, says(_CANCELED, end)
        assert run.log("a") == b"ready\nasked\n", says(
            "cancel: TERM comes first, and the task has the grace time to act on it", run.log("a")
        )

    def test_a_canceled_task_that_does_not_listen_is_killed(self, trial: Trial) -> None:
        trial.needs("live_logs")
        run = trial.open(Task("a", shell=f"trap '' TERM; echo ready; {_LONG}", grace=0.5))
        run.submit()
        run.until_written("a", b"ready\n")
        run.backend.cancel(run.context, ["a"])
        end = run.end_of("a")
        assert end.state is TaskState.CANCELED, says("cancel: TERM, the grace time, KILL", end)

    def test_a_task_that_ends_while_it_is_canceled_ends_once(self, trial: Trial) -> None:
        names = [f"t{number}" for number in range(6)]
        run = trial.open(*(Task(name, shell="echo done") for name in names))
        run.submit()
        for name in names:
            run.backend.cancel(run.context, [name])
            run.poll()
        for name in names:
            end = run.end_of(name)
            may = {TaskState.SUCCEEDED, TaskState.CANCELED}
            assert end.state in may, says("cancel: canceled, or it had ended before", end)
            if end.state is TaskState.SUCCEEDED:
                assert run.log(name) == b"done\n", says(
                    "TaskUpdate: succeeded is a claim that the command ran", run.log(name)
                )
        wrong = {name: ends for name, ends in _ends(run).items() if len(ends) != 1}
        assert not wrong, says(_ONCE, wrong)

    def test_canceling_a_task_that_has_ended_changes_nothing(self, trial: Trial) -> None:
        run = trial.open(Task("good", shell="echo kept"), Task("bad", shell="exit 3"))
        run.submit()
        before = {name: run.end_of(name).state for name in ("good", "bad")}
        run.backend.cancel(run.context, ["good", "bad"])
        run.poll()
        assert _ends(run) == {name: {state} for name, state in before.items()}, says(
            _NOTHING, run.updates
        )
        assert run.log("good") == b"kept\n", says(_NOTHING, run.log("good"))

    def test_canceling_a_task_that_is_not_known_does_nothing(self, trial: Trial) -> None:
        run = trial.open(Task("never", shell="true"), Task("a", shell="true"))
        run.backend.cancel(run.context, ["never"])
        assert not run.poll_all(), says(_NOTHING, run.updates)
        run.submit("a")
        run.backend.cancel(run.context, ["never"])
        end = run.end_of("a")
        assert end.state is TaskState.SUCCEEDED, says(_NOTHING, end)
        known = {update.task_id for update in run.poll_all()}
        assert known == {"a"}, says(_NOTHING, f"poll knows {sorted(known)}")

    def test_the_tasks_beside_a_canceled_one_go_on(self, trial: Trial) -> None:
        run = trial.open(
            Task("stopped", shell=_LONG, grace=1), Task("a", shell="sleep 1; echo done")
        )
        run.submit()
        run.backend.cancel(run.context, ["stopped"])
        ends = {name: run.end_of(name).state for name in ("stopped", "a")}
        assert ends == {"stopped": TaskState.CANCELED, "a": TaskState.SUCCEEDED}, says(
            "cancel: stops these tasks and no others", ends
        )
        assert run.log("a") == b"done\n", says("cancel: no other task is touched", run.log("a"))

    def test_a_run_that_is_canceled_while_it_runs_ends_canceled(self, trial: Trial) -> None:
        def cancel(event: Event) -> None:
            if isinstance(event, TaskChanged) and event.new is TaskState.RUNNING:
                request_cancel(trial.directory, [])

        tasks = [Task("a", shell=_LONG, grace=1), Task("b", shell=_LONG, grace=1)]
        run = trial.run(*tasks, observers=[cancel])
        states = {task.id: task.state for task in run.tasks}
        assert states == {"a": TaskState.CANCELED, "b": TaskState.CANCELED}, says(
            _CANCELED, run.tasks
        )
        assert run.state == "canceled", says("a run that was canceled says so", run.state)


def _ends(run: Opened) -> dict[str, set[TaskState]]:
    """Return all the final states that were ever said of each task, and are said now."""
    ends: dict[str, set[TaskState]] = {}
    for update in [*run.updates, *run.poll_all()]:
        if update.state.final:
            ends.setdefault(update.task_id, set()).add(update.state)
    return ends
