"""`release`, `settle` and `close`: what a run made goes, all of it and nothing else."""

from __future__ import annotations

from batchcore.life.manage import clean_run
from batchcore.model import Output, Task
from batchcore.states import TaskState
from batchcore.testing.conformance.group import Group, says
from batchcore.testing.trial import Trial

_NOTHING_LEFT = "release: deletes what this run created; idempotent"
_LEAVING = """\
import sys, threading
from pathlib import Path
from fsspec import asyn
from batchcore.jobfile import load_job
from batchcore.life.start import Options, drive, prepare
from batchcore.testing.clock import ImpatientClock
file, backend, directory, pause = sys.argv[1:]
job = load_job(Path(file)).job
prepared = prepare(job, Options(backend=backend, directory=Path(directory)))
drive(prepared, clock=ImpatientClock(float(pause))).raise_for_state()
for thread in set(threading.enumerate()) - {threading.main_thread(), *asyn.iothread}:
    thread.join(5)
    if thread.is_alive():
        print(thread.name)
"""


class Release(Group):
    """Clearing up after a run, and letting go of it."""

    def test_a_dry_run_names_what_is_then_deleted_and_deletes_nothing(self, trial: Trial) -> None:
        run = trial.open(Task("a", shell="echo kept"))
        run.submit()
        run.end_of("a")
        listed = list(run.release(dry_run=True))
        assert listed, says("release: a line for each thing", "nothing is listed")
        assert run.log("a") == b"kept\n", says(
            "release: with dry_run nothing is deleted", run.log("a")
        )
        deleted = list(run.release())
        assert deleted == listed, says(
            "release: with dry_run the same lines are returned", (listed, deleted)
        )
        again = [*run.release(dry_run=True), *run.release()]
        assert not again, says(_NOTHING_LEFT, again)

    def test_a_task_that_runs_is_stopped_by_another_process(self, trial: Trial) -> None:
        trial.needs("survives_controller")
        run = trial.open(Task("a", shell="sleep 600"))
        run.submit()
        run.until_running("a")
        run.reopen()
        assert run.release(), says("release: a line for each thing", "nothing is listed")
        run.reopen()
        left = run.release(dry_run=True)
        assert not left, says("release: attempts that still run are stopped", left)

    def test_another_run_of_the_same_job_is_left_alone(self, trial: Trial) -> None:
        task = Task("a", shell="echo ready; sleep 1; echo done")
        first = trial.open(task)
        trial.directory = trial.here / "other"
        second = trial.open(task)
        first.submit()
        second.submit()
        second.until_begun("a", b"ready\n")
        first.release()
        end = second.end_of("a")
        assert end.state is TaskState.SUCCEEDED, says(
            "release: deletes what this run created, and nothing else", end
        )
        assert second.log("a") == b"ready\ndone\n", says(
            "release: nothing of another run is deleted", second.log("a")
        )

    def test_after_a_success_release_leaves_the_results_and_nothing_else(
        self, trial: Trial
    ) -> None:
        run = trial.run(Task("a", shell="echo kept; echo out >out.txt", outputs=["out.txt"]))
        clean_run(run, dry_run=False)
        left = clean_run(run, dry_run=True)
        assert not left, says(_NOTHING_LEFT, left)
        kept = (run.log("a"), [file.read_bytes() for file in run.output_files])
        assert kept == (b"kept\n", [b"out\n"]), says(
            "release: the results and logs in the run directory stay", kept
        )

    def test_a_failed_run_keeps_what_it_has_until_it_is_released(self, trial: Trial) -> None:
        shell = "echo why; echo out >out.txt; exit 3"
        output = Output("out.txt", when="failure")
        run = trial.run(Task("a", shell=shell, outputs=[output]))
        assert run.state == "failed", says("exit code 3 is a failure", run.tasks)
        clean_run(run, dry_run=False)
        left = clean_run(run, dry_run=True)
        assert not left, says(_NOTHING_LEFT, left)
        assert run.log("a") == b"why\n", says(
            "release: the logs in the run directory stay", run.log("a")
        )

    def test_a_backend_can_be_closed_twice(self, trial: Trial) -> None:
        run = trial.open(Task("a", shell="true"))
        run.submit()
        run.end_of("a")
        run.backend.close()
        run.reopen()
        run.submit()
        end = run.end_of("a")
        assert end.state is TaskState.SUCCEEDED, says("close: idempotent", end)

    def test_no_thread_outlives_a_run(self, trial: Trial) -> None:
        file = trial.write_job(Task("a", shell="true"), Task("b", shell="true"))
        subject = trial.subject
        done = trial.python(
            *("-c", _LEAVING),
            *(str(file), subject.backend, str(trial.directory), str(subject.pause)),
        )
        assert done.returncode == 0, says("a run in a process of its own succeeds", done.stderr)
        assert not done.stdout, says(
            "close: lets go of connections and threads", f"these still run: {done.stdout.split()}"
        )
