"""Two controllers in one directory: one drives, the other is told who does."""

from __future__ import annotations

import socket
import subprocess
import sys

from batchcore.record import Record

FORKING = """
import os, sys, time
from pathlib import Path
import batchcore as bc

shared = Path(sys.argv[1])

forks = []

def fork(event):
    if forks:
        return
    forks.append(os.fork())
    if forks == [0]:
        (shared / "forked").touch()
        while not (shared / "gate").exists():
            time.sleep(0.05)
        os.write(1, b"the child ends\\n")
        os._exit(0)

wait = f"touch {shared}/begun; while [ ! -e {shared}/gate ]; do sleep 0.05; done"
job = bc.Job("job", tasks=[bc.Task("t", shell=wait)])
bc.run_job(job, backend="local-process", directory="run", observers=[fork])
"""


def test_the_second_is_told_who_the_first_is_and_the_first_is_not_disturbed(bench):
    bench.job(bench.begin)
    first = bench.start()
    bench.wait_for(bench.begun)
    second = bench.run()
    assert second.code == 9
    assert f"process {first.pid} on {socket.gethostname()} since 20" in second.err
    bench.gate.touch()
    assert first.wait(timeout=60) == 0
    assert bench.task().attempt == 1


def test_of_controllers_that_start_together_one_runs_each_task_once(bench):
    count = bench.shared / "count"
    bench.job(f"echo x >> {count}; sleep 0.5")
    controllers = [bench.start() for _ in range(4)]
    codes = sorted(controller.wait(timeout=60) for controller in controllers)
    assert set(codes) <= {0, 9}
    assert bench.run().code == 0
    assert count.read_text() == "x\n"


def test_a_killed_controller_holds_nothing(processes):
    processes.job(processes.begin)
    first = processes.start()
    processes.wait_for(processes.begun)
    first.kill()
    first.wait()
    processes.gate.touch()
    assert processes.run().code == 0


def test_a_forked_child_of_a_controller_does_not_hold_the_run(processes):
    (processes.here / "controller.py").write_text(FORKING)
    words = [sys.executable, "controller.py", str(processes.shared)]
    controller = subprocess.Popen(words, cwd=processes.here, stdout=subprocess.PIPE)
    processes.wait_for(processes.shared / "forked")
    # A task's own process has the lock too, between fork and exec.
    processes.wait_for(processes.begun)
    controller.kill()
    controller.wait()
    Record.resume(processes.here / "run").close()
    processes.gate.touch()
    # The child was alive all the time: it says so, and only then its end of the pipe is closed.
    assert controller.communicate(timeout=60)[0] == b"the child ends\n"
