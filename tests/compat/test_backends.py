"""One controller on every backend: to its end, with a failing task, and in two processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batchcore.compat.super_batch import Client, JobFailed

pytestmark = pytest.mark.docker

Make = Callable[..., Any]
IMAGE = "batchcore-test-base:latest"

FINISH = """
import json, sys, time
from batchcore.clock import SystemClock
SystemClock.sleep = lambda self, seconds: time.sleep(min(seconds, 0.1))
from batchcore.compat import super_batch

client = super_batch.Client.from_data(json.load(sys.stdin))
client.load_results()
print(*[open(path).read() for path in client.output_files])
"""

AGAIN = """
import sys, time
from batchcore.clock import SystemClock
SystemClock.sleep = lambda self, seconds: time.sleep(min(seconds, 0.1))
from batchcore.compat import super_batch

client = super_batch.client(JOB_ID="demo", BATCH_DIRECTORY=sys.argv[1])
client.load_results()
print(*[open(path).read() for path in client.output_files])
"""


def python(script: str, *words: str, text: str = "") -> str:
    """Run a script as a process of its own and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        input=text,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def client(make: Make, backend: str) -> Iterator[Any]:
    """A client whose job runs in the test image."""
    made = make(DOCKER_IMAGE=IMAGE)
    yield made
    assert made.backend == backend


def submit(client: Any) -> None:
    """Run without waiting."""
    client.run(wait=False)


def test_the_results_are_here_at_the_end(client: Any) -> None:
    client.add(0)
    client.add(1, "sh -c 'echo done > out.txt'")
    client.run()
    assert [Path(path).read_text() for path in client.output_files] == ["in", "done\n"]


def test_a_failing_task_is_named_and_the_others_are_here(client: Any, directory: Path) -> None:
    client.add(0, "sh -c 'exit 7'")
    client.add(1)
    with pytest.raises(JobFailed, match="Task_0: exit 7"):
        client.run()
    assert (directory / "out_1.txt").read_text() == "in"
    assert not (directory / "out_0.txt").exists()


def test_what_the_tasks_wrote_is_printed(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    client.add_task([], [], "echo hello")
    client.run()
    client.print_task_output()
    assert "Standard output:\nhello\n" in capsys.readouterr().out


def test_another_process_collects_what_was_submitted(client: Any) -> None:
    client.add(0)
    client.add(1)
    data = json.dumps(client.data)  # before the run, as super_batch's documents have it
    submit(client)
    assert python(FINISH, text=data) == "in in\n"


def test_a_new_client_of_the_same_job_collects_its_results(client: Any, directory: Path) -> None:
    client.add(0)
    client.add(1)
    submit(client)
    assert python(AGAIN, str(directory)) == "in in\n"


def test_the_same_client_collects_what_it_submitted(client: Any) -> None:
    client.add(0)
    submit(client)
    client.load_results()
    assert [Path(path).read_text() for path in client.output_files] == ["in"]


def test_data_of_a_client_that_has_ended_collects_again(client: Any, directory: Path) -> None:
    client.add(0)
    client.run()
    (directory / "out_0.txt").unlink()
    again = Client.from_data(json.loads(json.dumps(client.data)))
    again.load_results()
    assert [Path(path).read_text() for path in again.output_files] == ["in"]
