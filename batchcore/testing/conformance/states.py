"""`poll`: what is said of an attempt is true, in order, and never lost."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from batchcore.errors import TasksFailed
from batchcore.model import Task
from batchcore.states import FailureReason, TaskState, can_move
from batchcore.testing.conformance.group import Group, end_of, says
from batchcore.testing.trial import Trial

HOUR = 3600.0


class States(Group):
    """States, reasons and times."""

    def test_the_states_of_an_attempt_only_move_forward(self, trial: Trial) -> None:
        run = trial.open(Task("a", shell="true"))
        run.submit()
        run.end_of("a")
        states = [update.state for update in run.updates if update.task_id == "a"]
        changes = [new for old, new in zip([None, *states], states, strict=False) if old != new]
        wrong = [(old, new) for old, new in pairwise(changes) if not can_move(old, new)]
        assert not wrong, says("poll: states only move forward inside one attempt", changes)
        assert TaskState.PENDING not in states, says("TaskUpdate: never pending", states)

    def test_a_final_state_never_changes(self, trial: Trial) -> None:
        run = trial.open(Task("a", shell="exit 3"), Task("b", shell="true"))
        run.submit("a")
        end = run.end_of("a")
        run.submit("b")
        run.backend.cancel(run.context, ["a"])
        run.end_of("b")
        after = run.updates[run.updates.index(end) + 1 :]
        latest = [update for update in run.poll_all() if update.task_id == "a"][-1]
        told = [update for update in (*after, latest) if update.task_id == "a"]
        assert {end_of(update) for update in told} == {end_of(end)}, says(
            "poll: the end of an attempt stands, whatever follows", f"{end}, then {told}"
        )

    def test_a_poll_without_a_cursor_tells_of_every_attempt(self, trial: Trial) -> None:
        run = trial.open(Task("a", shell="true"), Task("b", shell="exit 1"))
        run.submit()
        ends = {name: end_of(run.end_of(name)) for name in ("a", "b")}
        latest = {update.task_id: end_of(update) for update in run.poll_all()}
        assert latest == ends, says(
            'poll: "" asks for every attempt that is known, ended ones too', latest
        )

    def test_a_cursor_loses_no_news(self, trial: Trial) -> None:
        run = trial.open(Task("a", shell="true"), Task("b", shell="true"))
        run.submit("a")
        run.end_of("a")
        early = run.backend.poll(run.context, "", 0.0).cursor
        run.submit("b")
        end = run.end_of("b")
        news = run.backend.poll(run.context, early, 0.0).updates
        assert end_of(end) in map(end_of, news), says(
            "poll: all that changed since the cursor is told, whatever was asked in between",
            f"of {end} it said {list(news)}",
        )

    def test_a_success_has_exit_code_0_and_no_reason(self, trial: Trial) -> None:
        run = trial.open(Task("a", shell="true"))
        run.submit()
        end = run.end_of("a")
        seen = (end.state, end.exit_code, end.reason)
        assert seen == (TaskState.SUCCEEDED, 0, None), says(
            "TaskUpdate: succeeded is a claim that the command exited 0", end
        )

    def test_a_failure_has_a_reason_and_the_exit_code(self, trial: Trial) -> None:
        run = trial.open(Task("a", shell="exit 7"))
        run.submit()
        end = run.end_of("a")
        seen = (end.state, end.reason, end.exit_code)
        assert seen == (TaskState.FAILED, FailureReason.EXIT_CODE, 7), says(
            "TaskUpdate: failed has a reason and, where the command ran, its exit code", end
        )

    def test_times_are_seconds_since_the_epoch_and_in_order(self, trial: Trial) -> None:
        run = trial.open(Task("a", shell="true"))
        before = time.time()
        run.submit()
        end = run.end_of("a")
        started, ended = end.started_at or 0.0, end.ended_at or 0.0
        assert before - HOUR < started <= ended < time.time() + HOUR, says(
            "TaskUpdate: the end of a command that ran has both times, in order, in seconds "
            "since the epoch",
            end,
        )

    def test_a_run_whose_tasks_all_succeed_has_succeeded(self, trial: Trial) -> None:
        run = trial.run(Task("a", shell="true"), Task("b", shell="true"))
        assert run.state == "succeeded", says("a run of successes succeeds", run.report())
        task = run.task("a")
        seen = (task.state, task.attempt, task.exit_code, task.reason)
        assert seen == (TaskState.SUCCEEDED, 1, 0, None), says(
            "the result of a success has exit code 0 and no reason", task
        )

    def test_a_run_with_a_failure_has_failed_and_keeps_the_rest(self, trial: Trial) -> None:
        run = trial.run(Task("bad", shell="exit 7"), Task("good", shell="true"))
        assert run.state == "failed", says("a run with a failed task has failed", run.report())
        bad, good = run.tasks
        seen = (bad.state, bad.reason, bad.exit_code)
        assert seen == (TaskState.FAILED, FailureReason.EXIT_CODE, 7), says(
            "the result of a failure has its reason and its exit code", bad
        )
        assert good.state is TaskState.SUCCEEDED, says("a failure leaves other tasks alone", good)
        with pytest.raises(TasksFailed):
            run.raise_for_state()
