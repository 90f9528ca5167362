"""A process that has only the run's context: it takes up what another one has begun."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from batchcore.model import Output, Resource, Task
from batchcore.states import TaskState
from batchcore.testing.conformance.group import Group, end_of, says
from batchcore.testing.opened import Opened
from batchcore.testing.trial import Trial
from batchcore.transfer.collect import open_tree

_UUID = "cat /proc/sys/kernel/random/uuid"
_AGAIN = "every method may be called again from a process that has only the run context"
_ADOPTED = "submit: an attempt that is known, from an earlier process too, is not started again"
_KILLED_AT = ("submit.accepted", "poll.received", "collect.published", "run.ended")


class Attaching(Group):
    """Another process, with nothing remembered."""

    def test_what_has_ended_stays_as_it_was(self, trial: Trial) -> None:
        trial.needs("survives_controller")
        output = Output("out", when="always")
        run = trial.open(
            Task("good", shell=f"{_UUID} | tee out", outputs=[output]),
            Task("bad", shell=f"{_UUID} | tee out; exit 3", outputs=[output]),
        )
        run.submit()
        names = ("good", "bad")
        ends = {name: end_of(run.end_of(name)) for name in names}
        logs = {name: run.log(name) for name in names}
        assert {name: _left(run, name) for name in names} == logs, says(
            "outputs: the tree holds what the task's output patterns match", logs
        )
        run.reopen()
        assert {name: run.log(name) for name in names} == logs, says(f"read_log: {_AGAIN}", logs)
        files = {name: _left(run, name) for name in names}
        assert files == logs, says(f"outputs: {_AGAIN}", (files, logs))
        run.submit()
        known = {update.task_id for update in run.poll_all()}
        assert known == set(names), says(
            "submit: on return every attempt is known to the backend and appears in poll", known
        )
        now = {name: end_of(run.end_of(name)) for name in names}
        assert now == ends, says("poll: a final state never changes", now)
        assert {name: run.log(name) for name in names} == logs, says(_ADOPTED, logs)

    def test_a_running_task_goes_on_and_is_adopted(self, trial: Trial) -> None:
        trial.needs("survives_controller", "live_logs")
        run = trial.open(Task("a", shell=f"{_UUID}; sleep 1; echo done"))
        run.submit()
        begun = run.until_written("a", b"\n")
        run.reopen()
        run.submit()
        end = run.end_of("a")
        assert end.state is TaskState.SUCCEEDED, says("close: running tasks go on", end)
        assert run.log("a") == begun + b"done\n", says(_ADOPTED, (begun, run.log("a")))

    def test_another_process_can_cancel_what_runs(self, trial: Trial) -> None:
        trial.needs("survives_controller")
        run = trial.open(Task("a", shell="sleep 600", grace=1))
        run.submit()
        run.until_running("a")
        run.reopen()
        run.submit()
        run.backend.cancel(run.context, ["a"])
        end = run.end_of("a")
        assert end.state is TaskState.CANCELED, says(f"cancel: {_AGAIN}", end)

    @pytest.mark.parametrize("point", _KILLED_AT)
    def test_a_killed_controller_costs_nothing(self, trial: Trial, point: str) -> None:
        shell = f"{{ cat in; {_UUID}; }} >out.txt; cat out.txt"
        tasks = [
            Task(name, shell=shell, resources=[Resource("in", text=name)], outputs=["out.txt"])
            for name in ("a", "b")
        ]
        done = trial.controller(*tasks, crash_at=point)
        assert done.returncode == -signal.SIGKILL, says(f"{point} is reached in a run", done)
        adopts = trial.capability("survives_controller").level != "unsupported"
        logs = _logs(trial, tasks) if adopts else {}
        published = _published(trial)
        run = trial.run(*tasks)
        assert run.state == "succeeded", says(
            "no lost work: the same command again gives the result", run.tasks
        )
        kept = _published(trial)
        assert sorted(kept) == ["a/out.txt", "b/out.txt"], says("every output is there", kept)
        assert not adopts or published.items() <= kept.items(), says(
            "what was published stays as it was", (published, kept)
        )
        for task in run.tasks:
            output = kept[f"{task.id}/out.txt"]
            right = output.startswith(task.id.encode()) and output.count(b"\n") == 1
            assert right, says("an output is whole, and from one execution", output)
            assert run.log(task.id) == output, says(
                "the log and the outputs are of one execution", (run.log(task.id), output)
            )
            if adopts:
                assert run.log(task.id).startswith(logs[task.id]), says(_ADOPTED, logs[task.id])
                attempts = run.attempts(task.id)
                assert [attempt["attempt"] for attempt in attempts] == [1], says(_ADOPTED, attempts)


def _left(run: Opened, task_id: str) -> bytes:
    """Return what is in the one output of an ended task."""

    def content() -> bytes:
        tree = open_tree(run.files(task_id).tree, run.backend.filesystem)
        with tempfile.TemporaryDirectory() as directory:
            copied = Path(directory) / "out"
            with copied.open("wb") as file:
                tree.copy("out", file)
            return copied.read_bytes()

    return run.backend.repeat(content)


def _logs(trial: Trial, tasks: Sequence[Task]) -> dict[str, bytes]:
    """Return what tasks have written by now, as a process sees it that knows only the run."""
    run = Opened(trial.prepare(*tasks), trial.subject)
    try:
        return {
            task.id: run.backend.read_log(run.context, run.attempt(task.id), "stdout", 0).data
            for task in tasks
        }
    finally:
        run.backend.close()


def _published(trial: Trial) -> dict[str, bytes]:
    root = trial.directory / "outputs"
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}
