"""From a job to a run: what is refused before anything exists, and when a run is the same run."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

import batchcore as bc
from batchcore.errors import (
    Conflict,
    EnvironmentNotReady,
    JobError,
    NotFound,
    SettingsError,
    UsageError,
)
from batchcore.events import Note
from batchcore.life.manage import cancel_run, clean_run
from batchcore.life.start import Options, drive, prepare, run_job
from batchcore.record import Record
from batchcore.record.resume import reopen
from batchcore.run import Run

HELLO = [bc.Task("a", outputs=["out"]), bc.Task("b", outputs=["out"])]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory of the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def job(line: str = "echo $BATCHCORE_TASK_ID > out", **fields) -> bc.Job:
    return bc.Job("Hello.World", shell=line, tasks=HELLO, **fields)


def prepared(the_job: bc.Job, **options):
    made = prepare(the_job, Options(backend="local-process", **options))
    made.backend.close()
    return made


def stem(run_id: str) -> str:
    """Return the part of an id that the work decides."""
    return run_id.rpartition("-")[0]


def test_preparing_creates_nothing(here):
    prepared(job())
    assert list(here.iterdir()) == []


def test_the_same_work_has_the_same_id():
    assert stem(prepared(job()).run_id) == stem(prepared(job()).run_id)


def test_the_id_can_be_part_of_any_name():
    assert prepared(job()).run_id.startswith("hello-world-")


def test_other_work_has_another_id():
    assert stem(prepared(job()).run_id) != stem(prepared(job("true > out")).run_id)


def test_the_same_work_in_two_directories_is_two_runs():
    first, second = run_job(job(), directory="one"), run_job(job(), directory="two")
    assert first.id != second.id
    assert stem(first.id) == stem(second.id)


def test_budgets_and_labels_do_not_make_other_work():
    other = job(retries=3, labels={"a": "b"})
    assert stem(prepared(job()).run_id) == stem(prepared(other).run_id)


def test_a_run_lies_below_the_runs_directory(here):
    run = run_job(job())
    assert run.directory == here / ".batchcore" / run.id


def test_a_run_directory_is_for_its_owner_alone():
    run = run_job(job())
    assert run.directory.stat().st_mode & 0o777 == 0o700


def test_the_default_backend_is_local_process():
    assert run_job(job()).header.backend == "local-process"


def test_running_again_answers_from_the_record():
    first = run_job(job())
    times = [path.stat().st_mtime_ns for path in first.output_files]
    again = run_job(job())
    assert again.id == first.id
    assert [path.stat().st_mtime_ns for path in again.output_files] == times


def test_fresh_starts_anew_beside_the_old_run():
    first = run_job(job())
    second = run_job(job(), fresh=True)
    assert (second.id != first.id, stem(second.id)) == (True, stem(first.id))
    assert run_job(job()).id == second.id


def test_the_directory_can_be_chosen(here):
    assert run_job(job(), directory="mine").directory == here / "mine"


def test_a_directory_with_another_run_is_refused():
    run_job(job(), directory="mine")
    with pytest.raises(Conflict, match="holds another run") as caught:
        run_job(job("true > out"), directory="mine")
    assert (caught.value.error_code, caught.value.exit_code) == ("BC9001", 9)


def test_a_directory_that_cannot_be_made_is_named(here):
    (here / "file").write_text("")
    with pytest.raises(EnvironmentNotReady, match="file/run cannot be written"):
        run_job(job(), directory="file/run")


def test_only_keeps_matching_tasks_and_what_they_wait_for():
    tasks = [bc.Task("a"), bc.Task("b", depends_on=["a"]), bc.Task("c")]
    the_job = bc.Job("j", shell="true", tasks=tasks)
    assert [task.id for task in prepared(the_job, only=("b",)).plan.tasks] == ["a", "b"]


def test_only_without_a_match_names_the_nearest_task():
    with pytest.raises(NotFound, match="no task matches") as caught:
        prepared(bc.Job("j", shell="true", tasks=[bc.Task("seed-1")]), only=("sed-1",))
    assert 'did you mean "seed-1"?' in caught.value.hint


def test_an_unknown_backend_is_answered_with_the_nearest():
    with pytest.raises(NotFound) as caught:
        run_job(job(), backend="local-proces")
    assert caught.value.exit_code == 5
    assert "local-process" in caught.value.hint


def test_all_problems_come_at_once_and_nothing_is_created(here):
    tasks = [bc.Task("a"), bc.Task("A", resources=[bc.Resource("x", source="missing")])]
    with pytest.raises(JobError) as caught:
        run_job(bc.Job("j", tasks=tasks))
    assert [p.code for p in caught.value.problems] == ["BC2203", "BC2202", "BC2202", "BC2205"]
    assert list(here.iterdir()) == []


def test_output_files_of_a_failed_run_are_not_given_out():
    run = run_job(job("exit 3"))
    assert run.state == "failed"
    with pytest.raises(bc.TasksFailed, match="2 of 2 tasks have not succeeded"):
        _ = run.output_files


def test_a_run_can_be_loaded_from_its_directory():
    run = run_job(job())
    assert Run.load(run.directory).report() == run.report()


def test_an_unknown_task_is_answered_with_the_nearest():
    with pytest.raises(NotFound, match="has no task 'aa'"):
        run_job(job()).task("aa")


def test_verify_finds_a_changed_result():
    run = run_job(job())
    run.output_files[0].write_text("changed")
    with pytest.raises(bc.BatchcoreError, match="is missing or not what task 'a' wrote"):
        run.verify()


def test_a_damaged_record_is_rebuilt_and_the_user_is_told():
    run = run_job(job())
    for path in run.directory.glob("run.db*"):
        path.write_bytes(b"damaged")
    events = []
    assert run_job(job(), observers=[events.append]).state == "succeeded"
    assert [event.text for event in events if isinstance(event, Note)] == [
        "run.db was damaged, and has been rebuilt"
    ]


def test_a_directory_that_was_moved_goes_on(here, monkeypatch):
    (here / "old").mkdir()
    (here / "old" / "in").write_text("x")
    the_job = bc.Job(
        "j", shell="exit 3", tasks=[bc.Task("a", resources=[bc.Resource("in", source="in")])]
    )
    monkeypatch.chdir(here / "old")
    run = run_job(the_job)
    clean_run(run, dry_run=False)
    monkeypatch.chdir(here)
    (here / "old").rename(here / "new")
    monkeypatch.chdir(here / "new")
    assert run_job(the_job).task("a").reason is bc.FailureReason.EXIT_CODE


def test_more_retries_count_when_the_run_goes_on():
    assert run_job(job("exit 3")).task("a").attempt == 1
    assert run_job(job("exit 3", retries=2)).task("a").attempt == 4


def test_an_output_may_be_called_like_one_of_our_temporary_files():
    the_job = bc.Job("j", shell="echo x > .bc-data", tasks=[bc.Task("a", outputs=[".bc-data"])])
    first = run_job(the_job).task("a")
    assert run_job(the_job).task("a") == first


def test_a_store_that_somebody_deleted_is_filled_again():
    tasks = [bc.Task("a", resources=[bc.Resource("in", text="x")], outputs=["out"])]
    the_job = bc.Job(
        "j", shell="test -e $OK && cp in out", env={"OK": str(Path.cwd() / "ok")}, tasks=tasks
    )
    run = run_job(the_job)
    shutil.rmtree(run.directory / "work")
    Path("ok").touch()
    assert run_job(the_job).state == "succeeded"


def test_clean_lists_and_deletes_what_a_failed_run_left():
    run = run_job(job("exit 3"))
    work = run.directory / "work"
    assert clean_run(run, dry_run=True) == [f"directory {work}"]
    assert work.exists()
    clean_run(run, dry_run=False)
    assert not work.exists()
    assert run.log("a") == b""
    assert run.task("a").exit_code == 3


def test_clean_keeps_results_unless_asked():
    run = run_job(job())
    clean_run(run, dry_run=False)
    assert run.output_files[0].exists()
    clean_run(run, dry_run=False, results=True)
    assert not run.directory.exists()


def test_a_cleaned_failed_run_can_be_run_again(here):
    line = "test -e $FLAG && echo x > out"
    the_job = job(line, env={"FLAG": str(here / "flag")})
    run = run_job(the_job)
    clean_run(run, dry_run=False)
    (here / "flag").touch()
    assert run_job(the_job).state == "succeeded"


def test_results_are_deleted_while_nobody_else_can_hold_the_run(here, monkeypatch):
    run = run_job(job("true"))

    def remove(directory):
        with pytest.raises(Conflict):
            Record.resume(directory)
        shutil.rmtree(directory)

    monkeypatch.setattr("batchcore.life.manage.remove_tree", remove)
    clean_run(run, dry_run=False, results=True)
    assert not run.directory.exists()


def test_a_run_that_goes_on_before_it_is_held_is_not_cleaned(here, monkeypatch):
    run = run_job(job("exit 3"))
    resume = Record.resume

    def resume_late(directory, **given):
        with closing(resume(directory)) as record:
            reopen(record)
        return resume(directory, **given)

    monkeypatch.setattr(Record, "resume", resume_late)
    with pytest.raises(UsageError, match="not ended"):
        clean_run(run, dry_run=False, results=True)
    assert run.state == "running"


def test_later_commands_read_the_settings_that_the_run_was_started_with(here, monkeypatch):
    (here / "mine.toml").write_text("[backend.local-process]\nslots = 1\n")
    (here / "elsewhere").mkdir()
    options = Options(backend="local-process", config=Path("mine.toml"))
    run = drive(prepare(job("exit 3"), options))
    monkeypatch.chdir(here / "elsewhere")
    assert clean_run(run, dry_run=True) != []
    (here / "mine.toml").unlink()
    with pytest.raises(SettingsError, match=r"mine\.toml"):
        clean_run(run, dry_run=True)


CONTROLLER = """
import batchcore as bc
job = bc.Job("long", shell="echo x >> $LOG; while [ ! -e $GO ]; do sleep 0.02; done; echo y > out",
             env={"LOG": "%(here)s/log", "GO": "%(here)s/go"}, max_parallel=1,
             tasks=[bc.Task("a", outputs=["out"]), bc.Task("b", outputs=["out"])])
try:
    bc.run_job(job, directory="run")
except bc.BatchcoreError as error:
    raise SystemExit(error.signal_exit)
"""


@pytest.fixture
def controller(here: Path):
    """A controller whose first task runs and waits."""
    script = here / "controller.py"
    script.write_text(CONTROLLER % {"here": here})
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, str(script)], cwd=here)
        started.append(process)
        deadline = time.monotonic() + 30
        while not (here / "log").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        return process

    yield start
    (here / "go").touch()
    for process in started:
        process.wait(30)


def test_a_second_controller_is_told_who_holds_the_run(controller, here):
    process = controller()
    again = prepare(Run.load(here / "run").header.job, Options(directory=here / "run"))
    with pytest.raises(Conflict, match=f"process {process.pid} on"):
        drive(again)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_detaches_and_the_same_command_goes_on(controller, here, number, code):
    process = controller()
    process.send_signal(number)
    assert process.wait(30) == code
    (here / "go").touch()
    assert controller().wait(60) == 0
    assert Run.load(here / "run").state == "succeeded"
    assert (here / "log").read_text() == "x\nx\n"


def test_cancel_asks_the_controller_that_drives_the_run(controller, here):
    process = controller()
    assert cancel_run(Run.load(here / "run")) is False
    assert process.wait(60) == 0
    assert {task.state.value for task in Run.load(here / "run").tasks} == {"canceled"}


def test_cancel_stops_what_a_killed_controller_left_running(controller, here):
    process = controller()
    process.kill()
    process.wait(30)
    run = Run.load(here / "run")
    with pytest.raises(UsageError, match="have not ended"):
        clean_run(run, dry_run=False)
    assert cancel_run(run) is True
    assert run.state == "canceled"
    assert (here / "log").read_text() == "x\n"
    assert no_process_of(run.id)


def no_process_of(run_id: str) -> bool:
    """Return whether all processes of a run end soon."""
    needle = f"BATCHCORE_RUN_ID={run_id}".encode()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not any(needle in _environ(path) for path in Path("/proc").glob("[0-9]*/environ")):
            return True
        time.sleep(0.02)
    return False


def _environ(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
