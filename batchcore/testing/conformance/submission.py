"""`submit` and `poll`: what is accepted is known, starts once, and is never forgotten."""

from __future__ import annotations

from itertools import pairwise

from batchcore.model import Task
from batchcore.states import TaskState, can_move
from batchcore.testing.conformance.group import Group, says
from batchcore.testing.trial import Trial


class Submission(Group):
    """Submission and idempotence."""

    def test_an_attempt_is_known_when_submit_returns(self, trial: Trial) -> None:
        run = trial.open(Task("a", shell="true"), Task("b", shell="true"))
        run.submit()
        known = {update.task_id for update in run.poll_all()}
        assert known == {"a", "b"}, says(
            "submit: on return every attempt is known to the backend and appears in poll",
            f"of a and b, poll knows {sorted(known)}",
        )

    def test_an_attempt_that_is_submitted_twice_runs_once(self, trial: Trial) -> None:
        run = trial.open(Task("a", shell="echo ran; test -e again || touch again"))
        run.submit()
        run.submit()
        run.end_of("a")
        run.submit()
        ends = [u for u in run.poll_all() if u.state.final]
        assert len({(u.attempt, u.state) for u in ends}) == 1, says(
            "submit: an attempt that is known is adopted and not started again", ends
        )
        assert run.log("a") == b"ran\n", says(
            "submit: an attempt that is known is adopted and not started again",
            f"its log is {run.log('a')!r}",
        )

    def test_the_states_of_an_attempt_only_move_forward(self, trial: Trial) -> None:
        run = trial.open(Task("a", shell="true"))
        run.submit()
        run.end_of("a")
        states = [update.state for update in run.updates if update.task_id == "a"]
        changes = [new for old, new in zip([None, *states], states, strict=False) if old != new]
        moves = list(pairwise(changes))
        wrong = [(old, new) for old, new in moves if not can_move(old, new)]
        assert not wrong, says("poll: states only move forward inside one attempt", changes)
        assert TaskState.PENDING not in states, says("TaskUpdate: never pending", states)
