"""Further attempts: after a task's own failure, and after one that was not its fault."""

from __future__ import annotations

import pytest

from batchcore.events import Event, TaskChanged
from batchcore.model import Resource, Task
from batchcore.record.requests import request_cancel
from batchcore.run import Run
from batchcore.states import Budget, TaskState, budget_of
from batchcore.testing.conformance.group import Group, says
from batchcore.testing.opened import Opened
from batchcore.testing.trial import Trial

# Only the first attempt takes long enough to lose its machine.
INTERRUPTIBLE = 'test "$BATCHCORE_ATTEMPT" -gt 1 || sleep 600; echo "$BATCHCORE_ATTEMPT" > out'


class Retries(Group):
    """Retries and interruptions."""

    def test_a_failed_attempt_is_followed_by_another(self, trial: Trial) -> None:
        trial.needs("retries")
        line = 'echo "$BATCHCORE_ATTEMPT" | tee out; test "$BATCHCORE_ATTEMPT" = 3'
        run = trial.run(Task("a", shell=line, retries=2, outputs=["out"]))
        task = run.task("a")
        assert (task.state, task.attempt) == (TaskState.SUCCEEDED, 3), says(
            "retries: a failed task gets further attempts, numbered 1, 2, …", task
        )
        assert [path.read_bytes() for path in run.output_files] == [b"3\n"], says(
            "the outputs of a task are those of the attempt that succeeded", task
        )
        logs = [run.log("a", attempt=number) for number in (1, 2, 3)]
        assert logs == [b"1\n", b"2\n", b"3\n"], says("each attempt has a log of its own", logs)

    def test_attempts_end_with_the_budget(self, trial: Trial) -> None:
        trial.needs("retries")
        run = trial.run(Task("a", shell="exit 3", retries=1))
        task = run.task("a")
        seen = (task.state, task.attempt, task.exit_code)
        assert seen == (TaskState.FAILED, 2, 3), says(
            "retries: so many further attempts and no more, and the last one's end counts", task
        )

    def test_every_attempt_starts_afresh(self, trial: Trial) -> None:
        trial.needs("retries")
        line = 'ls -A; cat r.txt; echo x > left; echo x > r.txt; test "$BATCHCORE_ATTEMPT" = 2'
        given = [Resource("r.txt", text="given\n")]
        run = trial.run(Task("a", shell=line, retries=1, resources=given))
        logs = [run.log("a", attempt=number) for number in (1, 2)]
        assert logs == [b"r.txt\ngiven\n"] * 2, says(
            "an attempt finds its resources as they were given and nothing of an earlier one", logs
        )

    def test_the_attempts_of_a_task_are_known_apart(self, trial: Trial) -> None:
        run = trial.open(Task("a", shell='echo "$BATCHCORE_ATTEMPT"; exit "$BATCHCORE_ATTEMPT"'))
        for number in (1, 2):
            run.submit("a", number=number)
            end = run.end_of("a", number)
            assert end.exit_code == number, says(
                "TaskUpdate: `attempt` is the one of which it tells", end
            )
        known = {(u.attempt, u.exit_code) for u in run.poll_all() if u.state.final}
        assert known >= {(2, 2)}, says('poll: "" asks for every attempt that is known', known)
        logs = [run.log("a", number=number) for number in (1, 2)]
        assert logs == [b"1\n", b"2\n"], says(
            "read_log: an attempt's log can be read until release, later attempts or not", logs
        )

    def test_a_task_that_loses_its_machine_is_told_apart(self, trial: Trial) -> None:
        _require_interrupt(trial)
        run = trial.open(Task("a", shell=INTERRUPTIBLE))
        run.submit()
        run.until_running("a")
        _interrupt(trial, run)
        end = run.end_of("a")
        assert end.state is TaskState.FAILED, says(
            "interruptions: an attempt that lost its machine has failed", end
        )
        budget = end.reason and budget_of(end.reason)
        assert budget is Budget.INTERRUPTIONS, says(
            "interruptions: a task that lost its machine is told apart from one that failed", end
        )

    def test_a_task_that_loses_its_machine_runs_again(self, trial: Trial) -> None:
        _require_interrupt(trial)
        run = _interrupted(trial, Task("a", shell=INTERRUPTIBLE, retries=0, outputs=["out"]))
        task = run.task("a")
        assert (task.state, task.attempt) == (TaskState.SUCCEEDED, 2), says(
            "interruptions: a task that lost its machine gets another attempt", task
        )
        assert [path.read_bytes() for path in run.output_files] == [b"2\n"], says(
            "the outputs of a task are those of the attempt that succeeded", task
        )


def _require_interrupt(trial: Trial) -> None:
    trial.needs("interruptions")
    if trial.subject.interrupt is None:
        pytest.fail(
            f"{trial.subject.backend} declares interruptions: give its Subject an `interrupt` "
            "that takes the machine away from a running task",
            pytrace=False,
        )


def _interrupt(trial: Trial, run: Opened) -> None:
    assert trial.subject.interrupt is not None
    trial.subject.interrupt(run, "a")


def _interrupted(trial: Trial, task: Task) -> Run:
    """Drive a job to its end, and take the machine away from its first attempt."""
    prepared = trial.prepare(task)
    opened = Opened(prepared, trial.subject)

    def watch(event: Event) -> None:
        if not isinstance(event, TaskChanged) or event.attempt > 1:
            return
        if event.new is TaskState.RUNNING:
            try:
                _interrupt(trial, opened)
            except BaseException:
                request_cancel(prepared.directory, [task.id])  # or the run never ends
                raise

    return trial.drive(prepared, [watch])
