"""What a worker sees: the same on every backend."""

from __future__ import annotations

from batchcore.errors import BatchcoreError
from batchcore.model import Resource, Task
from batchcore.states import FailureReason, TaskState
from batchcore.testing.conformance.group import Group, says
from batchcore.testing.trial import Trial

GIVEN = (Resource("given.txt", text="given\n"), Resource("deep/er/given.txt", text="deeper\n"))
NO_IMAGE = "127.0.0.1:9/batchcore-conformance/no-such-image:v1"


class Worker(Group):
    """Directory, variables, user and image."""

    def test_the_working_directory_holds_the_resources_and_nothing_else(self, trial: Trial) -> None:
        run = trial.open(Task("a", shell="ls -A . deep deep/er", resources=GIVEN))
        run.submit()
        run.end_of("a")
        seen = run.log("a").decode().split()
        wanted = [".:", "deep", "given.txt", "deep:", "er", "deep/er:", "given.txt"]
        assert seen == wanted, says(
            "the working directory holds the task's resources and nothing else, no logs either",
            f"{seen}, {run.log('a', 'stderr').decode()}",
        )

    def test_a_worker_may_write_where_it_starts_and_below_its_resources(self, trial: Trial) -> None:
        line = "echo new > new.txt && echo new > deep/er/new.txt && cat new.txt deep/er/new.txt"
        run = trial.open(Task("a", shell=line, resources=GIVEN))
        run.submit()
        end = run.end_of("a")
        assert run.log("a") == b"new\nnew\n", says(
            "the working directory is writable, and so is what lies in it",
            f"{end}, {run.log('a', 'stderr').decode()}",
        )

    def test_a_worker_knows_its_run_its_task_and_its_attempt(self, trial: Trial) -> None:
        names = ("RUN_ID", "TASK_ID", "ATTEMPT")
        line = "; ".join(f'echo "$BATCHCORE_{name}"' for name in names)
        run = trial.open(Task("a_Task-1", shell=line))
        run.submit()
        run.end_of("a_Task-1")
        seen = run.log("a_Task-1").decode().splitlines()
        assert seen == [run.context.run_id, "a_Task-1", "1"], says(
            "BATCHCORE_RUN_ID, BATCHCORE_TASK_ID and BATCHCORE_ATTEMPT are set", seen
        )

    def test_home_is_writable(self, trial: Trial) -> None:
        run = trial.open(Task("a", shell='echo kept > "$HOME/note" && cat "$HOME/note"'))
        run.submit()
        end = run.end_of("a")
        assert run.log("a") == b"kept\n", says(
            "HOME is a directory that can be written to",
            f"{end}, {run.log('a', 'stderr').decode()}",
        )

    def test_a_container_does_not_see_the_controllers_files(self, trial: Trial) -> None:
        trial.needs("containers")
        canary = trial.here / "canary"
        canary.write_text("of the controller")
        run = trial.open(Task("a", command=["test", "!", "-e", str(canary)]))
        run.submit()
        end = run.end_of("a")
        assert end.state is TaskState.SUCCEEDED, says(
            "containers: a task sees its image and its own files, not the controller's", end
        )

    def test_a_task_whose_image_does_not_exist_never_runs(self, trial: Trial) -> None:
        trial.needs("containers")
        try:
            run = trial.run(Task("a", shell="echo ran", image=NO_IMAGE), interruptions=0)
        except BatchcoreError:
            assert not trial.directory.exists(), says(
                "check: what it refuses leaves nothing behind", list(trial.directory.iterdir())
            )
            return
        task = run.task("a")
        assert (task.state, task.reason) == (TaskState.FAILED, FailureReason.IMAGE), says(
            "containers: a task without its image is refused, or fails for the reason image", task
        )

    def test_a_worker_that_is_root_leaves_files_that_the_caller_can_read(
        self, trial: Trial
    ) -> None:
        trial.needs("root_user")
        task = Task("a", shell="umask 077; id -u; id -u > user", user="root", outputs=["user"])
        run = trial.run(task)
        assert run.log("a") == b"0\n", says(
            "root_user: with user = root the command runs as root",
            f"{run.task('a')}, {run.log('a')!r}",
        )
        assert [path.read_bytes() for path in run.output_files] == [b"0\n"], says(
            "root_user: what is collected is the caller's", run.output_files
        )
