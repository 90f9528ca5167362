"""What every backend of this machine keeps, shown through whole runs of real processes."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from batchcore.backend import RunContext, TaskSubmission
from batchcore.errors import BackendError, JobError
from batchcore.life.start import run_job
from batchcore.local.factory import create
from batchcore.local.settings import LocalProcessSettings
from batchcore.model import Job, Output, Requirements, Resource, Task
from batchcore.plan import plan_job
from batchcore.record.requests import request_cancel
from batchcore.states import FailureReason, TaskState


@pytest.fixture
def run(tmp_path: Path):
    """Run a job of the given tasks in a directory of its own."""

    def make(*tasks: Task, **fields):
        job = Job("job", tasks=tasks, **fields)
        return run_job(job, backend="local-process", directory=tmp_path / "run")

    return make


def test_the_working_directory_holds_exactly_the_resources(run):
    resources = [Resource("a/b.txt", text="x"), Resource("run.sh", text="", mode="0755")]
    made = run(Task("t", shell="find . -type f | sort", resources=resources))
    assert made.log("t") == b"./a/b.txt\n./run.sh\n"


def test_the_mode_of_a_resource_is_kept(run):
    made = run(
        Task("t", shell="stat -c %a run.sh", resources=[Resource("run.sh", text="", mode="0750")])
    )
    assert made.log("t") == b"750\n"


def test_a_task_may_change_its_resources_without_harm_to_others(run):
    shared = Resource("in", text="same")
    line = "cat in; echo changed > in"
    made = run(*(Task(f"t{n}", shell=line, resources=[shared]) for n in range(3)))
    assert [made.log(f"t{n}") for n in range(3)] == [b"same"] * 3


def test_a_task_is_stopped_after_its_time_limit(run):
    made = run(Task("t", shell="echo begun; sleep 60", timeout=0.3))
    task = made.task("t")
    assert (task.state, task.reason) == (TaskState.FAILED, FailureReason.TIMEOUT)
    assert "time limit of 0.3 s" in task.detail
    assert made.log("t") == b"begun\n"


def test_a_task_that_ignores_term_is_killed_after_its_grace_time(run):
    line = "trap '' TERM; while :; do sleep 0.05; done"
    task = run(Task("t", shell=line, timeout=0.2, grace=0.2)).task("t")
    assert (task.reason, task.exit_code) == (FailureReason.TIMEOUT, 137)


def test_a_time_limit_is_paid_for_by_retries(run):
    task = run(Task("t", shell="sleep 60", timeout=0.1, retries=1)).task("t")
    assert task.attempt == 2


def test_a_canceled_task_gets_term_and_is_canceled(tmp_path):
    directory = tmp_path / "run"
    line = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.02; done"

    def cancel():
        log = directory / "work/t/1/task/stdout.txt"
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not (log.exists() and log.read_text()):
            time.sleep(0.01)
        request_cancel(directory, [])

    helper = threading.Thread(target=cancel)
    helper.start()
    job = Job("job", tasks=[Task("t", shell=line), Task("u", shell="true", depends_on=["t"])])
    made = run_job(job, backend="local-process", directory=directory)
    helper.join()
    assert made.log("t") == b"ready\nbye\n"
    assert made.task("t").exit_code == 0


def test_requirements_that_this_machine_cannot_meet_are_refused_before_anything(run, tmp_path):
    with pytest.raises(JobError, match="a task asks for cpus = 9999"):
        run(Task("t", shell="true", requirements=Requirements(cpus=9999)))
    assert not (tmp_path / "run").exists()


def test_a_program_that_is_not_installed_is_refused_before_anything(run, tmp_path):
    with pytest.raises(JobError, match="'no-such-program' is not on this machine"):
        run(Task("t", command=["no-such-program"]))
    assert not (tmp_path / "run").exists()


def test_a_file_of_the_image_is_asked_for_by_name(run):
    with pytest.raises(JobError, match="image_paths"):
        run(Task("t", command=["python3", "/worker.py"]))


def test_image_paths_stand_in_for_files_of_the_image(run, tmp_path):
    (tmp_path / "here.py").write_text("print('from here')")
    options = {"local-process": {"image_paths": {"/worker.py": str(tmp_path / "here.py")}}}
    made = run(Task("t", command=["python3", "/worker.py"]), backend_options=options)
    assert made.log("t") == b"from here\n"


def test_a_changed_stand_in_makes_a_new_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"local-process": {"image_paths": {"/w.py": "w.py"}}}
    job = Job("job", tasks=[Task("t", command=["python3", "/w.py"])], backend_options=options)
    (tmp_path / "w.py").write_text("print(1)")
    first = run_job(job, backend="local-process")
    (tmp_path / "w.py").write_text("print(2)")
    second = run_job(job, backend="local-process")
    assert (first.log("t"), second.log("t")) == (b"1\n", b"2\n")


@pytest.mark.parametrize(
    ("task", "word"),
    [
        (Task("t", shell="true", user="root"), "user"),
        (Task("t", shell="true", requirements=Requirements(gpus=1)), "gpus"),
    ],
)
def test_what_a_process_cannot_have_is_refused_with_its_reason(run, task, word):
    with pytest.raises(JobError, match=f"local-process cannot do what .*{word}"):
        run(task)


def test_outputs_that_lead_out_of_the_directory_are_refused(run, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("top secret")
    task = run(Task("t", shell=f"ln -s {secret} out", outputs=["out"])).task("t")
    assert task.reason is FailureReason.OUTPUT_UNSAFE
    assert "leaves the working directory" in task.detail


def test_patterns_collect_what_they_match(run):
    line = "mkdir -p d/e; touch d/a.csv d/.hidden.csv d/e/b.csv c.txt"
    made = run(Task("t", shell=line, outputs=[Output("d/**/*.csv", to="all")]))
    names = [path.relative_to(made.directory / "outputs").as_posix() for path in made.output_files]
    assert names == ["all/a.csv", "all/e/b.csv"]


class Live:
    """A backend in use without a driver, and one task of it."""

    def __init__(self, directory: Path, line: str) -> None:
        plan = plan_job(Job("job", tasks=[Task("t", shell=line)]))
        self.backend = create(LocalProcessSettings(slots=1))
        self.run = RunContext(run_id="live-1", plan=plan, directory=directory)
        self.submission = TaskSubmission(plan.tasks[0], 1)
        self.backend.submit(self.run, [self.submission])

    def until(self, state: TaskState) -> None:
        """Poll until the task is in a state."""
        cursor, seen = "", set()
        deadline = time.monotonic() + 30
        while state not in seen and time.monotonic() < deadline:
            snapshot = self.backend.poll(self.run, cursor, 1)
            cursor = snapshot.cursor
            seen |= {update.state for update in snapshot.updates}
        assert state in seen

    def read(self, offset: int = 0):
        return self.backend.read_log(self.run, self.submission, "stdout", offset)


@pytest.fixture
def live(tmp_path: Path):
    """Start one task and look at it while it runs."""
    made: list[Live] = []

    def start(line: str) -> Live:
        made.append(Live(tmp_path / "run", line))
        return made[-1]

    yield start
    for one in made:
        one.backend.release(one.run, dry_run=False)
        one.backend.close()


def test_a_log_can_be_read_from_an_offset_while_the_task_runs(live):
    one = live("echo first; while [ ! -e stop ]; do sleep 0.02; done; echo last")
    one.until(TaskState.RUNNING)
    deadline = time.monotonic() + 20
    while not one.read().data and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (one.read().data, one.read().complete) == (b"first\n", False)
    (one.run.directory / "work/t/1/task/wd/stop").touch()
    one.until(TaskState.SUCCEEDED)
    assert (one.read(6).data, one.read(6).complete) == (b"last\n", True)


def test_a_log_that_the_worker_has_replaced_by_a_link_is_not_followed(live):
    one = live("rm ../stdout.txt; ln -s /etc/passwd ../stdout.txt")
    one.until(TaskState.SUCCEEDED)
    assert one.read().data == b""


def test_submitting_twice_runs_once(live, tmp_path):
    one = live(f"echo x >> {tmp_path}/count")
    one.backend.submit(one.run, [one.submission])
    one.until(TaskState.SUCCEEDED)
    assert (tmp_path / "count").read_text() == "x\n"


def test_another_process_is_told_the_end_of_an_attempt_without_running_it(live, tmp_path):
    one = live(f"echo x >> {tmp_path}/count; exit 5")
    one.until(TaskState.FAILED)
    successor = create(LocalProcessSettings())
    successor.submit(one.run, [one.submission])
    updates = []
    while not any(u.state.final for u in updates):
        updates += successor.poll(one.run, "", 5).updates
    successor.close()
    assert updates[-1].exit_code == 5
    assert (tmp_path / "count").read_text() == "x\n"


def test_release_says_what_it_deletes_and_deletes_just_that(live):
    one = live("sleep 60")
    one.until(TaskState.RUNNING)
    (one.run.directory / "mine.txt").write_text("keep me")
    named = one.backend.release(one.run, dry_run=True)
    assert (one.run.directory / "work").exists()
    assert one.backend.release(one.run, dry_run=False) == named
    assert [path.name for path in one.run.directory.iterdir()] == ["mine.txt"]
    assert one.backend.release(one.run, dry_run=True) == []


def test_no_thread_survives_close(live):
    before = set(threading.enumerate())
    one = live("sleep 60")
    one.until(TaskState.RUNNING)
    one.backend.close()
    assert set(threading.enumerate()) <= before
    successor = create(LocalProcessSettings())
    successor.release(one.run, dry_run=False)
    successor.close()


def test_more_disk_than_is_free_is_refused_before_anything(run):
    with pytest.raises(JobError, match=r"a task asks for disk = .* are free here"):
        run(Task("t", shell="true", requirements=Requirements(disk="9000TiB")))


def test_a_tree_that_is_hard_to_delete_is_deleted(live):
    one = live("i=0; while [ $i -lt 1500 ]; do mkdir d; cd d; i=$((i+1)); done; chmod 0 .")
    one.until(TaskState.SUCCEEDED)
    one.backend.release(one.run, dry_run=False)
    assert not (one.run.directory / "work").exists()


def test_what_cannot_be_deleted_is_named(live, tmp_path, monkeypatch):
    one = live("true")
    one.until(TaskState.SUCCEEDED)
    with monkeypatch.context() as context:
        context.setenv("PATH", str(tmp_path / "no-tools"))
        (tmp_path / "no-tools").mkdir()
        for name in ("rm", "chmod"):
            (tmp_path / "no-tools" / name).write_text("#!/bin/sh\nexit 1\n")
            (tmp_path / "no-tools" / name).chmod(0o755)
        with pytest.raises(BackendError, match="work cannot be deleted"):
            one.backend.release(one.run, dry_run=False)
