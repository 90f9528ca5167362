"""A run outlives the command that began it: submitted, its driver killed, its machine restarted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import closing

from batchcore.record import Record, durability
from batchcore.run import Run


def counted(bench, task: str) -> str:
    """Return a shell line that counts its executions, begins, and waits for the gate."""
    return f"echo {task} >> {bench.shared}/count; {bench.begin}"


def executions(bench) -> list[str]:
    return sorted((bench.shared / "count").read_text().split())


def test_submit_returns_while_tasks_run_and_they_end_without_it(bench):
    bench.job(f"{bench.begin}; exit 7")
    done = bench.submit()
    assert done.code == 0
    bench.wait_for(bench.begun)
    assert not bench.task().state.final
    bench.gate.touch()
    assert bench.wait().code == 3
    assert (bench.task().attempt, bench.task().exit_code) == (1, 7)


def test_after_its_driver_was_killed_wait_goes_on_and_each_task_ran_once(bench):
    bench.jobs({"t": counted(bench, "t"), "u": counted(bench, "u")})
    bench.submit()
    bench.wait_for(bench.begun)
    bench.kill_driver()
    bench.gate.touch()
    assert bench.wait().code == 0
    assert executions(bench) == ["t", "u"]


def test_of_two_waits_one_drives_and_the_other_follows(processes):
    processes.job(counted(processes, "t"))
    processes.submit()
    processes.wait_for(processes.begun)
    processes.kill_driver()
    line = [sys.executable, "-m", "batchcore", "wait", str(processes.directory)]
    waits = [subprocess.Popen(line, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for each in waits:
        # Each says that it has begun before the task can end.
        assert "goes on" in each.stderr.readline()
    assert processes.driver in {each.pid for each in waits}
    processes.gate.touch()
    said = [each.communicate(timeout=60)[1] for each in waits]
    assert [each.returncode for each in waits] == [0, 0]
    assert all("1 task succeeded" in text for text in said)
    assert executions(processes) == ["t"]


def test_a_restart_of_the_machine_is_mended_by_wait(processes, tmp_path):
    processes.jobs({"done": "echo x > out.txt", "t": processes.begin}, outputs=["out.txt"])
    job = json.loads((tmp_path / "job.json").read_text())
    job["tasks"][1]["outputs"] = []
    (tmp_path / "job.json").write_text(json.dumps(job))
    processes.submit()
    processes.wait_for(processes.begun)
    processes.wait_for(processes.directory / "outputs/done/out.txt")
    processes.kill_driver()
    os.killpg(int((processes.directory / "work/t/1/control/pid").read_text()), signal.SIGKILL)
    # What a machine leaves that has stopped: no process, and the marks of another boot.
    (processes.directory / "work/boot").write_text("another boot")
    with closing(Record.resume(processes.directory)) as record:
        record.save_meta("unsynced", "another boot")
    assert durability.boot_id() != "another boot"
    processes.gate.touch()
    assert processes.wait().code == 0
    assert Run.load(processes.directory).state == "succeeded"


def test_what_waits_for_a_place_is_driven_in_the_background(processes):
    last = processes.shared / "last"
    lines = {"a": processes.begin, "b": "true", "c": f"touch {last}"}
    processes.jobs(lines)
    done = processes.call("submit", *processes.words[3:], "--max-parallel", "1")
    assert done.code == 0
    processes.gate.touch()
    processes.wait_for(last)
    assert processes.wait().code == 0


def test_how_many_tasks_run_at_once_is_kept_by_whoever_goes_on(processes):
    counter = f"echo + >> {processes.shared}/log; sleep 0.2; echo - >> {processes.shared}/log"
    processes.jobs({"a": processes.begin, "b": counter, "c": counter})
    processes.call("submit", *processes.words[3:], "--max-parallel", "1")
    processes.wait_for(processes.begun)
    processes.kill_driver()
    processes.gate.touch()
    assert processes.wait().code == 0
    assert (processes.shared / "log").read_text().split() == ["+", "-", "+", "-"]


def test_a_driver_that_is_told_to_end_leaves_the_run_to_wait(processes):
    processes.job(counted(processes, "t"))
    processes.submit()
    processes.wait_for(processes.begun)
    os.kill(processes.driver, signal.SIGTERM)
    processes.gate.touch()
    assert processes.wait().code == 0
    assert executions(processes) == ["t"]


def test_a_secret_reaches_the_background_and_no_file(processes, monkeypatch):
    monkeypatch.setenv("TOKEN", "abracadabra-in-the-background")
    path = processes.shared / "length"
    processes.job(f'wc -c < "$BATCHCORE_SECRETS_DIR/TOKEN" > {path}', secrets=["TOKEN"])
    processes.submit()
    assert processes.wait().code == 0
    assert path.read_text().strip() == str(len("abracadabra-in-the-background"))
    files = [file for file in processes.here.rglob("*") if file.is_file()]
    assert [f for f in files if b"abracadabra" in f.read_bytes()] == []


def test_wait_without_the_secret_says_so(processes, monkeypatch):
    monkeypatch.setenv("TOKEN", "abracadabra")
    processes.jobs({"a": processes.begin, "b": "true"}, secrets=["TOKEN"])
    processes.call("submit", *processes.words[3:], "--max-parallel", "1")
    processes.wait_for(processes.begun)
    processes.kill_driver()
    monkeypatch.delenv("TOKEN")
    done = processes.wait()
    assert done.code == 2
    assert "export TOKEN" in done.err
    monkeypatch.setenv("TOKEN", "abracadabra")
    processes.gate.touch()
    assert processes.wait().code == 0
