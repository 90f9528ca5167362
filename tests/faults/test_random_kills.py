"""Controllers killed at moments of chance; the last one gives the result of an undisturbed run."""

from __future__ import annotations

import random
import subprocess

import pytest

from batchcore.run import Run

TASKS = 12
KILLS = 6
RESULT = 'echo "$BATCHCORE_TASK_ID" > out.txt'


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_kills_at_any_moment_lose_nothing_and_run_nothing_twice(processes, seed):
    chance = random.Random(seed)
    line = f"echo x >> {processes.shared}/$BATCHCORE_TASK_ID.count; sleep 0.1; {RESULT}"
    names = [f"t{n}" for n in range(TASKS)]
    processes.jobs(dict.fromkeys(names, line), outputs=["out.txt"])
    for _ in range(KILLS):
        controller = processes.start()
        try:
            controller.wait(timeout=chance.uniform(0.2, 2))
        except subprocess.TimeoutExpired:
            controller.kill()
        controller.wait()
    assert processes.run().code == 0, f"seed {seed}"
    assert sorted(processes.directory.glob("outputs/*/*")) == sorted(
        processes.directory / f"outputs/{name}/out.txt" for name in names
    )
    for name in names:
        assert (processes.directory / f"outputs/{name}/out.txt").read_text() == f"{name}\n"
        assert (processes.shared / f"{name}.count").read_text() == "x\n"
    assert [task.id for task in Run.load(processes.directory).verify()] == names
