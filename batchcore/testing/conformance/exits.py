"""How a command is started, and what its end is called."""

from __future__ import annotations

import pytest

from batchcore.model import Task
from batchcore.states import FailureReason, TaskState
from batchcore.testing.conformance.group import Group, says
from batchcore.testing.opened import Opened
from batchcore.testing.trial import Trial

CODES = (0, 1, 3, 255)
SIGNALS = {"KILL": 137, "TERM": 143}
NOT_FOUND = 127
HOSTILE = (
    "two words",
    "it's",
    '"quoted"',
    "$HOME `id` $(id)",
    "*",
    "~",
    "back\\slash\\n",
    "a;b|c&d>e",
    "%PATH% %s",
    "#",
    "!",
    "ünï 🙂",
    "tab\there",
    "two\nlines",
    "",
    "-n",
    "--",
)


class Exits(Group):
    """Words, variables, standard input and exit codes."""

    def test_the_exit_code_is_the_commands_own(self, trial: Trial) -> None:
        run = trial.open(*(Task(f"code-{code}", shell=f"exit {code}") for code in CODES))
        run.submit()
        ends = {code: run.end_of(f"code-{code}") for code in CODES}
        wrong = {code: end for code, end in ends.items() if end.exit_code != code}
        assert not wrong, says("TaskUpdate: exit_code is what the command exited with", wrong)
        succeeded = {code for code, end in ends.items() if end.state is TaskState.SUCCEEDED}
        assert succeeded == {0}, says("TaskUpdate: succeeded means exit code 0", succeeded)

    def test_death_by_a_signal_is_128_and_the_signal(self, trial: Trial) -> None:
        run = trial.open(*(Task(name, shell=f"kill -{name} $$") for name in SIGNALS))
        run.submit()
        ends = {name: run.end_of(name) for name in SIGNALS}
        codes = {name: end.exit_code for name, end in ends.items()}
        assert codes == SIGNALS, says(
            "TaskUpdate: a command that a signal has ended has 128 and the signal's number", ends
        )
        reasons = {end.reason for end in ends.values()}
        assert reasons == {FailureReason.EXIT_CODE}, says(
            "a command that ends itself by a signal has failed by its exit code", ends
        )

    def test_a_program_that_does_not_exist_is_a_failure_of_its_task(self, trial: Trial) -> None:
        run = trial.open(Task("a", command=["./no-such-program"]), Task("b", shell="true"))
        run.submit()
        end = run.end_of("a")
        assert end.state is TaskState.FAILED, says(
            "submit: a task that cannot start becomes a failed update", end
        )
        not_started = end.reason is FailureReason.START_FAILED
        assert not_started or end.exit_code == NOT_FOUND, says(
            f"a missing program is start_failed, or exit code {NOT_FOUND} as of a shell", end
        )
        assert run.end_of("b").state is TaskState.SUCCEEDED, says(
            "a task that cannot start leaves the others alone", run.end_of("b")
        )

    def test_standard_input_is_empty(self, trial: Trial) -> None:
        run = _ran(trial, Task("a", command=["cat"]))
        assert run.log("a") == b"", says("standard input is empty", run.log("a"))

    def test_the_words_of_a_command_arrive_as_given(self, trial: Trial) -> None:
        run = _ran(trial, Task("a", command=["printf", "%s\\0", *HOSTILE]))
        words = run.log("a").decode().split("\0")[:-1]
        assert words == list(HOSTILE), says(
            "the command's words arrive as they were given; no shell reads them", words
        )

    def test_variables_arrive_as_given(self, trial: Trial) -> None:
        wanted = {f"WORD_{number}": word for number, word in enumerate(HOSTILE)}
        run = _ran(trial, Task("a", command=["env", "-0"], env=wanted))
        found = _variables(run.log("a"))
        wrong = {name: found.get(name) for name in wanted if found.get(name) != wanted[name]}
        assert not wrong, says("the variables of `env` arrive as they were given", wrong)

    def test_the_controllers_environment_is_not_passed_on(
        self, trial: Trial, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CONFORMANCE_CANARY", "of the controller")
        run = _ran(trial, Task("a", command=["env", "-0"]))
        found = _variables(run.log("a"))
        assert "BATCHCORE_TASK_ID" in found, says("a worker finds its own variables", found)
        assert "CONFORMANCE_CANARY" not in found, says(
            "of the controller's environment nothing is passed on; `env` gives what is needed",
            found,
        )


def _ran(trial: Trial, task: Task) -> Opened:
    """Return a run whose one task has succeeded."""
    run = trial.open(task)
    run.submit()
    end = run.end_of(task.id)
    assert end.state is TaskState.SUCCEEDED, says(
        "a command that works here works there", f"{end}\n{run.log(task.id, 'stderr').decode()}"
    )
    return run


def _variables(log: bytes) -> dict[str, str]:
    pairs = (entry.partition("=") for entry in log.decode(errors="replace").split("\0"))
    return {name: value for name, _, value in pairs if name}
