"""Tasks that wait for others."""

from __future__ import annotations

from batchcore.events import Event, TaskChanged
from batchcore.model import Dependency, Task
from batchcore.run import Run
from batchcore.states import FailureReason, TaskState
from batchcore.testing.conformance.group import Group, says
from batchcore.testing.trial import Trial


class Dependencies(Group):
    """Dependencies."""

    def test_a_task_starts_after_those_that_it_waits_for(self, trial: Trial) -> None:
        trial.needs("dependencies")
        run, told = _watched(
            trial,
            Task("last", shell="true", depends_on=["left", "right"]),
            Task("left", shell="true", depends_on=["first"]),
            Task("right", shell="true", depends_on=["first"]),
            Task("first", shell="true"),
        )
        assert run.state == "succeeded", says("dependencies: all of them run", run.report())
        for before, after in (("first", "left"), ("first", "right"), ("right", "last")):
            ended = told.index((before, TaskState.SUCCEEDED))
            begun = next(place for place, (task, _new) in enumerate(told) if task == after)
            assert ended < begun, says(
                f"dependencies: {after} is submitted once {before} has succeeded", told
            )

    def test_tasks_that_wait_for_a_failed_one_never_start(self, trial: Trial) -> None:
        trial.needs("dependencies")
        run, told = _watched(
            trial,
            Task("first", shell="exit 1"),
            Task("second", shell="echo ran", depends_on=["first"]),
            Task("third", shell="echo ran", depends_on=["second"]),
        )
        for name in ("second", "third"):
            task = run.task(name)
            assert (task.state, task.reason) == (TaskState.FAILED, FailureReason.DEPENDENCY), says(
                "dependencies: a task whose dependency failed fails for the reason dependency", task
            )
            seen = {new for task_id, new in told if task_id == name}
            assert (seen, run.log(name)) == ({TaskState.FAILED}, b""), says(
                "dependencies: a task whose dependency failed never starts", (told, run.log(name))
            )

    def test_a_task_may_wait_for_any_end(self, trial: Trial) -> None:
        trial.needs("dependencies")
        after = Task("after", shell="echo ran", depends_on=[Dependency("first", on="any")])
        run, _told = _watched(trial, Task("first", shell="exit 1"), after)
        assert run.log("after") == b"ran\n", says(
            "dependencies: on = any waits for the end and not for success", run.report()
        )


def _watched(trial: Trial, *tasks: Task) -> tuple[Run, list[tuple[str, TaskState]]]:
    """Run a job, and return with it what was told of its tasks, in order."""
    told: list[tuple[str, TaskState]] = []

    def watch(event: Event) -> None:
        if isinstance(event, TaskChanged):
            told.append((event.task_id, event.new))

    return trial.run(*tasks, observers=[watch]), told
