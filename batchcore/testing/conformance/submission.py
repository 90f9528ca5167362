"""`submit`: what is accepted is known, starts once, and is never forgotten."""

from __future__ import annotations

from batchcore.model import Task
from batchcore.states import TaskState
from batchcore.testing.conformance.group import Group, end_of, says
from batchcore.testing.trial import Trial

ONCE = "an attempt that is known already is adopted and not started again"
MARK = "cat /proc/sys/kernel/random/uuid"


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

    def test_an_attempt_that_is_submitted_again_at_once_runs_once(self, trial: Trial) -> None:
        # Both words are one shell's: a second one would write its own over or after them.
        run = trial.open(Task("a", shell=f"mark=$({MARK}); echo $mark; sleep 0.5; echo $mark"))
        run.submit()
        run.submit()
        run.end_of("a")
        first, *others = run.log("a").split() or [b"nothing"]
        assert others == [first], says(f"submit: {ONCE}", f"its log is {run.log('a')!r}")

    def test_an_attempt_that_is_submitted_again_while_it_runs_goes_on(self, trial: Trial) -> None:
        run = trial.open(Task("a", shell=f"mark=$({MARK}); echo $mark; sleep 2; echo $mark"))
        run.submit()
        early = run.until_begun("a", b"\n")
        run.submit()
        end = run.end_of("a")
        assert end.state is TaskState.SUCCEEDED, says(f"submit: {ONCE}", end)
        first, *others = run.log("a").split() or [b"nothing"]
        assert others == [first], says(f"submit: {ONCE}", f"its log is {run.log('a')!r}")
        assert run.log("a").startswith(early), says(
            f"submit: {ONCE}", f"its log began with {early!r} and is {run.log('a')!r}"
        )

    def test_an_attempt_that_is_submitted_again_after_its_end_stays_ended(
        self, trial: Trial
    ) -> None:
        run = trial.open(Task("a", shell=MARK), Task("later", shell=MARK))
        run.submit("a")
        end, log = run.end_of("a"), run.log("a")
        run.submit("a", "later")
        run.end_of("later")
        assert run.log("a") == log, says(
            f"submit: {ONCE}", f"its log was {log!r} and is {run.log('a')!r}"
        )
        latest = [update for update in run.poll_all() if update.task_id == "a"][-1]
        assert end_of(latest) == end_of(end), says(
            f"submit: {ONCE}", f"it ended as {end} and now as {latest}"
        )

    def test_attempts_that_are_new_start_beside_those_that_are_known(self, trial: Trial) -> None:
        run = trial.open(*(Task(name, shell="echo ran") for name in ("a", "b", "c")))
        run.submit("b")
        run.submit("a", "b", "c")
        logs = {name: (run.end_of(name), run.log(name))[1] for name in ("a", "b", "c")}
        assert set(logs.values()) == {b"ran\n"}, says(
            "submit: of several attempts those that are new are started, each once", logs
        )
