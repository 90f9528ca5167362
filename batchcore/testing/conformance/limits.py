"""What a task asks for and may use: time, processors, memory, disk, GPUs."""

from __future__ import annotations

import pytest

from batchcore.errors import BatchcoreError, JobError
from batchcore.model import Requirements, Task
from batchcore.states import FailureReason, TaskState
from batchcore.testing.conformance.group import Group, says
from batchcore.testing.trial import Trial

# Without a line break in sight tail has to keep all of it.
TAKES_200_MB = "head -c 200000000 /dev/zero | tail > /dev/null"
FOR_EVER = "while :; do sleep 1; done"
# Prints the seconds that have passed, and in the second line of `times` what its children used.
# On a machine with no idle processor that is little anyway: then nothing is shown.
BUSY = (
    "read begun rest < /proc/uptime; for n in 1 2 3 4 5 6 7 8; do "
    "timeout 2 sh -c 'while :; do :; done' & done; "
    "wait; read ended rest < /proc/uptime; echo $begun $ended; times"
)
CPU_TOLERANCE = 1.4


class Limits(Group):
    """Limits."""

    def test_a_task_that_takes_too_long_fails_with_timeout(self, trial: Trial) -> None:
        trial.needs("time_limit")
        run = trial.open(Task("a", shell="sleep 600", timeout=1, grace=0.5))
        run.submit()
        end = run.end_of("a")
        assert (end.state, end.reason) == (TaskState.FAILED, FailureReason.TIMEOUT), says(
            "time_limit: a task is stopped after its timeout, and the reason says so", end
        )

    def test_a_task_that_takes_too_long_is_asked_to_stop_first(self, trial: Trial) -> None:
        trial.needs("time_limit")
        line = "trap 'echo asked; exit 0' TERM; echo begun; sleep 600 & wait"
        run = trial.open(Task("a", shell=line, timeout=2, grace=20))
        run.submit()
        end = run.end_of("a")
        assert run.log("a") == b"begun\nasked\n", says(
            "time_limit: at its limit a task gets TERM and may tidy up",
            f"{end}, {run.log('a')!r}",
        )
        assert (end.state, end.reason) == (TaskState.FAILED, FailureReason.TIMEOUT), says(
            "time_limit: a task that was stopped has failed, whatever it exits with", end
        )

    def test_a_task_that_ignores_term_is_killed_after_its_grace(self, trial: Trial) -> None:
        trial.needs("time_limit")
        run = trial.open(Task("a", shell=f"trap '' TERM; {FOR_EVER}", timeout=1, grace=0.5))
        run.submit()
        end = run.end_of("a")
        assert (end.state, end.reason) == (TaskState.FAILED, FailureReason.TIMEOUT), says(
            "time_limit: a task that does not heed TERM gets KILL after its grace", end
        )

    def test_a_task_within_its_time_limit_is_left_alone(self, trial: Trial) -> None:
        trial.needs("time_limit")
        run = trial.open(Task("a", shell="sleep 0.2; echo done", timeout=60))
        run.submit()
        end = run.end_of("a")
        assert end.state is TaskState.SUCCEEDED, says("time_limit: it is no more than that", end)

    def test_a_timeout_is_paid_for_by_the_tasks_retries(self, trial: Trial) -> None:
        trial.needs("time_limit", "retries")
        line = 'test "$BATCHCORE_ATTEMPT" = 2 || sleep 600'
        run = trial.run(Task("a", shell=line, timeout=3, grace=0.5, retries=1, interruptions=0))
        task = run.task("a")
        assert (task.state, task.attempt) == (TaskState.SUCCEEDED, 2), says(
            "retries: a task that took too long is tried again", task
        )

    def test_a_task_cannot_use_more_processors_than_it_asked_for(self, trial: Trial) -> None:
        trial.needs("cpu_limit")
        run = trial.open(Task("a", shell=BUSY, requirements=Requirements(cpus=1)))
        run.submit()
        run.end_of("a")
        passed, _own, children = run.log("a").decode().splitlines()
        begun, ended = map(float, passed.split())
        used = sum(map(_seconds, children.split()))
        assert used < CPU_TOLERANCE * (ended - begun), says(
            "cpu_limit: a task cannot use more processors than it asked for",
            f"with cpus = 1, {used:.1f} s of processors in {ended - begun:.1f} s",
        )

    def test_a_task_cannot_use_more_memory_than_it_asked_for(self, trial: Trial) -> None:
        trial.needs("memory_limit")
        enough, little = (Requirements(memory=size) for size in ("512MiB", "64MiB"))
        run = trial.open(
            Task("little", shell=TAKES_200_MB, requirements=little),
            Task("enough", shell=TAKES_200_MB, requirements=enough),
        )
        run.submit()
        end = run.end_of("enough")
        assert end.state is TaskState.SUCCEEDED, says(
            "memory_limit: a task may use what it asked for", end
        )
        end = run.end_of("little")
        assert end.state is TaskState.FAILED, says(
            "memory_limit: a task cannot use more memory than it asked for", end
        )

    def test_running_out_of_memory_is_told_apart(self, trial: Trial) -> None:
        trial.needs("memory_limit", "out_of_memory_reason")
        run = trial.open(Task("a", shell=TAKES_200_MB, requirements=Requirements(memory="64MiB")))
        run.submit()
        end = run.end_of("a")
        assert end.reason is FailureReason.OUT_OF_MEMORY, says(
            "out_of_memory_reason: running out of memory is told apart from an exit code", end
        )

    def test_a_disk_that_no_machine_has_is_refused(self, trial: Trial) -> None:
        trial.needs("disk")
        with pytest.raises(JobError):
            trial.prepare(Task("a", shell="true", requirements=Requirements(disk=2**60)))
        assert not trial.directory.exists(), says(
            "disk: what cannot be met is refused before anything is created", trial.directory
        )

    def test_gpus_that_no_machine_has_are_not_pretended(self, trial: Trial) -> None:
        trial.needs("gpus")
        task = Task("a", shell="true", requirements=Requirements(gpus=100_000), interruptions=0)
        try:
            state = trial.run(task).state
        except BatchcoreError:
            return
        assert state == "failed", says("gpus: a task without the GPUs it asked for fails", state)


def _seconds(text: str) -> float:
    """Read what the shell's `times` prints, such as ``0m1.53s``."""
    minutes, _, seconds = text.rstrip("s").partition("m")
    return 60 * float(minutes) + float(seconds)
