"""Runs that go on without their command: `submit`, `wait`, `drive`, and who looks at them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import batchcore.cli.drive
from batchcore.clock import SystemClock
from batchcore.errors import Conflict, Detached, WaitTimeout
from batchcore.events import TaskChanged
from batchcore.life import background
from batchcore.life.start import run_job
from batchcore.model import Job, Task
from batchcore.record import Record
from batchcore.record.rundir import is_driven, name_owner, owner_of
from batchcore.run import Run

Call = Callable[..., Any]


@pytest.fixture
def submitted(cli: Call, job: Call, gate: Any) -> Call:
    """Submit a job whose task `a` waits for the gate, and return the run's id."""

    def submit(name: str = "demo", **shells: str) -> str:
        done = cli("submit", job(name, **({"a": gate.passed} | shells)))
        assert done.code == 0, done.err
        return str(done.out.strip())

    return submit


@pytest.fixture
def idle(cli: Call, job: Call, here: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Make a run whose task `a` has not started and that nobody drives; return its id."""

    def make(shell: str) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", "/bin/false")
            assert cli("submit", job(a=shell)).code == 6
        (header,) = here.glob(".batchcore/*/job.json")
        return header.parent.name

    return make


def run_of(here: Path, run: str) -> Run:
    return Run.load(here / ".batchcore" / run)


def test_submit_prints_the_id_alone_and_says_what_to_type(
    cli: Call, job: Call, gate: Any, here: Path
) -> None:
    done = cli("submit", job(a=gate.passed))
    gate.open()
    (header,) = here.glob(".batchcore/*/job.json")
    run = header.parent.name
    assert done.out == f"{run}\n"
    assert f"driven by process {owner_of(header.parent).pid}" in done.err  # type: ignore[union-attr]
    assert f"wait:   batchcore wait {run}" in done.err
    assert cli("wait", run).code == 0


def test_run_detach_is_submit(cli: Call, job: Call, gate: Any, here: Path) -> None:
    run = cli("run", job(a=gate.passed), "--detach").out.strip()
    assert is_driven(here / ".batchcore" / run)
    gate.open()
    assert cli("wait", run).code == 0


def test_what_leaves_at_once_cannot_be_interrupted(cli: Call, job: Call, tree: Call) -> None:
    done = cli("run", job(), "--detach", "--on-interrupt", "cancel")
    assert (done.code, tree()) == (2, {"demo.toml"})
    assert "--detach and --on-interrupt contradict each other" in done.err


def test_submit_as_data(cli: Call, job: Call, gate: Any) -> None:
    data = cli("submit", job(a=gate.passed), "--json").data
    gate.open()
    assert data["schema"] == "batchcore.submit/1"
    assert (data["backend"], data["state"]) == ("local-process", "running")
    assert data["driver"]["pid"] > 0
    assert cli("wait", data["run"]).code == 0


def test_a_run_outside_the_runs_directory_is_named_by_its_directory(cli: Call, job: Call) -> None:
    assert cli("wait", cli("submit", job(), "--dir", "my runs/one").out.strip()).code == 0


def test_submitting_what_is_driven_changes_nothing(
    cli: Call, submitted: Call, job: Call, gate: Any, here: Path
) -> None:
    run = submitted()
    pid = owner_of(here / ".batchcore" / run).pid  # type: ignore[union-attr]
    assert cli("submit", job(a=gate.passed), "--json").data["driver"]["pid"] == pid
    gate.open()
    assert cli("wait", run).code == 0


@pytest.mark.parametrize("driven", [True, False])
def test_submitting_to_a_service_names_who_drives(
    cli: Call, job: Call, here: Path, far: str, *, driven: bool
) -> None:
    line = ("submit", job(a="true"), "--backend", far, "--json")
    run = cli(*line).data["run"]
    record = Record.resume(here / ".batchcore" / run, background=True)
    if not driven:
        record.close()
    done = cli(*line)
    record.close()
    assert done.data["driver"] == ({"pid": os.getpid()} if driven else None)
    assert ("driven by process" in done.err) is driven


def test_submit_tries_again_what_failed(cli: Call, job: Call, here: Path) -> None:
    file = job(a="exit 1")
    run = cli("submit", file).out.strip()
    assert cli("wait", run).code == 3
    cli("submit", file)
    assert cli("wait", run).code == 3
    assert run_of(here, run).task("a").attempt == 2


def test_submitting_what_has_succeeded_says_so(cli: Call, job: Call) -> None:
    file = job()
    cli("run", file)
    done = cli("submit", file)
    cli("wait", done.out.strip())
    assert done.code == 0


def test_a_job_that_cannot_run_is_refused_by_submit(cli: Call, job: Call, here: Path) -> None:
    done = cli("submit", job(), "--backend", "local-proces")
    assert done.code == 5
    assert not (here / ".batchcore").exists()


def test_a_controller_detaches_too(process: Call, cli: Call, here: Path) -> None:
    (here / "c.py").write_text(
        "import batchcore as bc\n"
        "job = bc.Job('demo', tasks=[bc.Task('a', shell='true')])\n"
        "if __name__ == '__main__':\n"
        "    bc.main(job)\n    print('after')\n"
    )
    done = process("--detach", program=["c.py"])
    assert (done.code, done.out.count("\n")) == (0, 1)
    assert cli("wait", done.out.strip()).code == 0


def test_wait_shows_failures_and_exits_as_run(cli: Call, submitted: Call, gate: Any) -> None:
    class Opening(SystemClock):
        """Opens the gate once somebody waits."""

        def sleep(self, seconds: float) -> None:
            gate.open()
            super().sleep(seconds)

    run = submitted(b="echo why >&2; exit 9")
    done = cli("wait", run, clock=Opening())
    assert done.code == 3
    assert "b  exit 9" in done.err
    assert "1 succeeded, 1 failed" in done.err


def test_wait_does_not_try_again_what_failed(cli: Call, ran: Call, here: Path) -> None:
    run = ran(a="exit 1")
    assert cli("wait", run).code == 3
    assert run_of(here, run).task("a").attempt == 1


def test_wait_as_data(cli: Call, ran: Call) -> None:
    run = ran(a="true")
    data = cli("wait", run, "--json").data
    assert data["schema"] == "batchcore.wait/1"
    assert [(one["run"], one["state"]) for one in data["runs"]] == [(run, "succeeded")]


def test_a_wait_that_is_too_short_exits_8(cli: Call, submitted: Call, gate: Any) -> None:
    run = submitted()
    done = cli("wait", run, "--timeout", "0.1s")
    gate.open()
    assert done.code == 8
    assert "wait again: batchcore wait" in done.err
    assert cli("wait", run).code == 0


@pytest.mark.parametrize("words", [["--timeout", "soon"], ["--timeout", "0"]])
def test_a_time_that_is_none_exits_2(cli: Call, ran: Call, words: list[str]) -> None:
    assert cli("wait", ran(), *words).code == 2


def test_a_wait_that_drives_leaves_the_run_to_the_background_in_time(
    cli: Call, submitted: Call, gate: Any, here: Path
) -> None:
    run = submitted()
    kill_driver(here / ".batchcore" / run)
    assert cli("wait", run, "--timeout", "0.5s").code == 8
    assert is_driven(here / ".batchcore" / run)
    gate.open()
    assert cli("wait", run).code == 0


def test_several_are_waited_for_and_driven(
    cli: Call, submitted: Call, gate: Any, here: Path
) -> None:
    one, two = submitted("one"), submitted("two", b="exit 1")
    kill_driver(here / ".batchcore" / one)
    gate.open()
    done = cli("wait", one, two, "--json")
    assert done.code == 3
    assert {run["run"]: run["state"] for run in done.data["runs"]} == {
        one: "succeeded",
        two: "failed",
    }


def test_any_is_enough(cli: Call, submitted: Call, ran: Call, gate: Any) -> None:
    done_before, going_on = ran("done"), submitted()
    data = cli("wait", "--any", going_on, done_before, "--json").data
    assert [run["run"] for run in data["runs"]] == [done_before]
    gate.open()
    assert cli("wait", going_on).code == 0


def test_logs_follow_and_fetch_work_with_the_background_driver(
    cli: Call, submitted: Call, gate: Any, here: Path
) -> None:
    run = submitted(a=f"echo begun; {gate.passed}; echo ended; echo x > out.txt")
    opener = threading.Timer(0.5, gate.open)
    opener.start()
    assert cli("logs", run, "-f").out == "begun\nended\n"
    assert cli("wait", run).code == 0
    assert cli("fetch", run, "--to", "copy").code == 0
    assert list((here / "copy").rglob("out.txt"))


def test_cancel_reaches_the_background_driver(cli: Call, submitted: Call, gate: Any) -> None:
    run = submitted()
    assert cli("cancel", run, "--yes").code == 0
    assert cli("wait", run).code == 4
    gate.open()


def test_status_names_the_driver(cli: Call, submitted: Call, gate: Any, here: Path) -> None:
    run = submitted()
    pid = owner_of(here / ".batchcore" / run).pid  # type: ignore[union-attr]
    assert cli("status", run).err.startswith(f"driven by process {pid} on ")
    assert cli("status", run, "--json").data["driver"]["pid"] == pid
    gate.open()
    cli("wait", run)
    assert "driver" not in cli("status", run, "--json").data


def test_status_without_a_driver_says_how_to_go_on(
    cli: Call, submitted: Call, gate: Any, here: Path
) -> None:
    run = submitted()
    kill_driver(here / ".batchcore" / run)
    assert cli("status", run).err == f"no driver runs; go on with: batchcore wait {run}\n"
    assert cli("status").err == f"{run}: no driver runs; go on with: batchcore wait {run}\n"
    assert cli("status", run, "--json").data["driver"] is None
    gate.open()
    assert cli("wait", run).code == 0


def test_watch_prints_a_line_for_each_change_until_the_end(
    cli: Call, submitted: Call, gate: Any
) -> None:
    run = submitted()
    opener = threading.Timer(0.5, gate.open)
    opener.start()
    lines = cli("status", run, "--watch", "--interval", "0.1s").out.splitlines()
    assert "running" in lines[0]
    assert "succeeded  1/1" in lines[-2]


def test_watch_as_data_is_one_object_a_line(cli: Call, submitted: Call, gate: Any) -> None:
    run = submitted()
    opener = threading.Timer(0.5, gate.open)
    opener.start()
    out = cli("status", run, "--watch", "--interval", "0.1s", "--json").out
    states = [json.loads(line)["state"] for line in out.splitlines()]
    assert (states[0], states[-1]) == ("running", "succeeded")


def test_watch_ends_where_nobody_drives(cli: Call, submitted: Call, gate: Any, here: Path) -> None:
    run = submitted()
    kill_driver(here / ".batchcore" / run)
    assert f"go on with: batchcore wait {run}" in cli("status", run, "--watch").err
    gate.open()
    assert cli("wait", run).code == 0


def test_watch_needs_a_run(cli: Call) -> None:
    assert cli("status", "--watch").code == 2


def test_drive_goes_on_without_the_job_file(
    cli: Call, submitted: Call, gate: Any, here: Path
) -> None:
    run = submitted()
    kill_driver(here / ".batchcore" / run)
    (here / "demo.toml").unlink()
    gate.open()
    done = cli("drive", run)
    assert done.code == 0
    assert "1 task succeeded" in done.err


def test_a_background_driver_that_cannot_start_says_why(
    cli: Call, job: Call, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    done = cli("submit", job())
    assert done.code == 6
    assert "drive it here: batchcore wait" in done.err
    monkeypatch.undo()
    assert "no driver runs" in cli("status", str(next(here.glob(".batchcore/*")))).err


def test_a_background_driver_without_an_interpreter_says_so(
    cli: Call, job: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/interpreter")
    done = cli("submit", job())
    assert done.code == 6
    assert "the background driver cannot be started: No such file" in done.err


def test_the_words_of_an_earlier_background_driver_are_not_told(
    cli: Call, job: Call, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "my run").mkdir()
    (here / "my run" / "driver.log").write_text("bygones\n")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    done = cli("submit", job(), "--dir", "my run")
    assert done.code == 6
    assert "bygones" not in done.err
    assert f"batchcore wait '{here}/my run'" in done.err


def test_a_background_driver_that_is_slow_is_looked_for(
    cli: Call, job: Call, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = here / "fifo"
    os.mkfifo(gate)
    (here / "python").write_text(f"#!/bin/sh\nread word < {gate}\n")
    (here / "python").chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(here / "python"))
    monkeypatch.setattr(background, "_SECONDS", 0)
    done = cli("submit", job())
    gate.write_text("go\n")
    assert done.code == 6
    assert "look whether it has by now: batchcore status" in done.err


def test_that_the_run_is_held_is_said_once(
    cli: Call, ran: Call, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listening, speaking = os.pipe()

    def go_on(*_: Any, held: Callable[[], None], **__: Any) -> None:
        with (here / "another").open("wb") as another:
            held()
            os.dup2(another.fileno(), speaking)
        raise Conflict("somebody else has it")

    monkeypatch.setattr(batchcore.cli.drive, "go_on", go_on)
    assert cli("drive", ran(), "--ready", str(speaking)).code == 9
    assert os.read(listening, 2) == b"."
    assert (here / "another").read_bytes() == b""
    os.close(speaking)
    os.close(listening)


def test_a_wait_that_cannot_leave_the_run_to_the_background_says_why(
    cli: Call, idle: Call, gate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = idle(gate.passed)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    done = cli("wait", run, "--timeout", "0.1s")
    gate.open()
    assert done.code == 8
    assert "nothing else starts: the background driver has not taken the run" in done.err
    assert cli("wait", run).code == 0


class Interrupted(SystemClock):
    """A clock at which somebody presses Ctrl-C who looks."""

    def monotonic(self) -> float:
        """Press it."""
        raise KeyboardInterrupt


def test_leaving_at_once_says_whether_somebody_drives(cli: Call, idle: Call, here: Path) -> None:
    run = idle("true")
    done = cli("wait", run, "--timeout", "9s", clock=Interrupted())
    assert done.code == 130
    assert f"Nothing drives {run} now." in done.err
    with closing(Record.resume(here / ".batchcore" / run)):
        done = cli("wait", run, "--timeout", "9s", clock=Interrupted())
    assert "What drives the run goes on." in done.err


def test_who_was_given_a_run_drives_it_before_the_lock_is_taken(ran: Call, here: Path) -> None:
    directory = here / ".batchcore" / ran()
    with subprocess.Popen(["sleep", "60"]) as child:
        name_owner(directory, child.pid, background=True, coming=True)
        assert is_driven(directory)
        child.kill()
    assert not is_driven(directory)


def test_in_python_a_run_is_waited_for(here: Path, cli: Call, submitted: Call, gate: Any) -> None:
    run = run_of(here, submitted())
    with pytest.raises(WaitTimeout):
        run.wait(timeout=0.1)
    gate.open()
    assert run.wait().state == "succeeded"


def test_in_python_no_process_is_left_behind_after_leaving(here: Path, gate: Any) -> None:
    def interrupt(event: object) -> None:
        if isinstance(event, TaskChanged) and event.new == "running":
            import os
            import signal

            os.kill(os.getpid(), signal.SIGINT)

    job = Job("job", tasks=[Task("a", shell=gate.passed)])
    with pytest.raises(Detached):
        run_job(job, backend="local-process", directory=here / "run", observers=[interrupt])
    assert not is_driven(here / "run")
    Record.resume(here / "run").close()
    gate.open()
    assert Run.load(here / "run").wait().state == "succeeded"


def kill_driver(directory: Path) -> None:
    """Kill a background driver and wait until it has gone."""
    import os
    import signal
    import time

    owner = owner_of(directory)
    assert owner
    deadline = time.monotonic() + 60
    os.kill(owner.pid, signal.SIGKILL)
    while is_driven(directory):
        assert time.monotonic() < deadline, "it does not go"
        time.sleep(0.02)
