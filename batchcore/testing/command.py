"""A task of the backend `memory` that really runs: a child process in a temporary directory."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import closing
from pathlib import Path

import fsspec

from batchcore.backend import Stream
from batchcore.local.process import ProcessRunner
from batchcore.local.runner import Attempt, Exit
from batchcore.local.settings import LocalProcessSettings
from batchcore.plan import PlannedTask
from batchcore.plan.sources import PlannedFile
from batchcore.states import FailureReason, TaskState
from batchcore.testing.outcome import Execution, Outcome, Work
from batchcore.transfer.collect import fetch, open_tree
from batchcore.transfer.files import UnsafeFile, open_beneath
from batchcore.transfer.stage import resource_url

_NO_WORK = Path("/nonexistent")


def execute(_task: PlannedTask, _attempt: int) -> Execution:
    """Run the task's command as `local-process` does; a behaviour of `MemoryBackend`."""
    return CommandExecution()


class CommandExecution:
    """A command as a child process; what it leaves is read into memory when it ends.

    Its directory is below the system's temporary directory, and exists while it runs. `close` kills
    the command. Where this process is killed first, the command goes on and nobody looks; `sweep`
    kills it then, and deletes its directory.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self._runner = ProcessRunner(LocalProcessSettings())
        self._attempt: Attempt | None = None
        self._end: Exit | None = None

    def start(self, work: Work) -> None:
        """Make the directory with the resources and start the command in it."""
        place = Path(tempfile.mkdtemp(prefix=_prefix(work.run_id)))
        self._attempt = attempt = Attempt(
            run_id=work.run_id, task=work.task, number=work.attempt, directory=place, base=place
        )
        attempt.control.mkdir()
        attempt.working_directory.mkdir(parents=True)
        try:
            for file in work.task.files:
                _write(file, work.store, attempt.working_directory)
        except FileNotFoundError as exc:
            self._end = Exit(reason=FailureReason.RESOURCE, detail=f"not in the store: {exc}")
            return
        self._end = self._runner.start(attempt)

    def poll(self) -> Outcome | None:
        """Return how the command ended, with its logs and all outputs that it may be asked for."""
        if self._attempt is None:
            return None
        end = self._end or self._runner.wait(self._attempt, 0)
        if end is None:
            return None
        outcome = self._outcome(self._attempt, end)
        self.close()
        return outcome

    def stop(self, *, kill: bool) -> None:
        """Signal the whole process group."""
        if self._attempt is not None:
            self._runner.stop(self._attempt, kill=kill)

    def log(self, stream: Stream) -> bytes:
        """Read the log, which the command could have replaced by anything."""
        if self._attempt is None:
            return b""
        try:
            with open_beneath(self._attempt.task_directory, f"{stream}.txt") as file:
                return file.read()
        except (FileNotFoundError, UnsafeFile):
            return b""

    def close(self) -> Outcome | None:
        """Kill the command, delete its directory, and return its logs where it had not ended."""
        attempt = self._attempt
        if attempt is None:
            return None
        if self._end is None:
            self._runner.stop(attempt, kill=True)
            self._runner.wait(attempt, None)
        left = Outcome(
            exit_code=None,
            reason=FailureReason.NODE_LOST,
            stdout=self.log("stdout"),
            stderr=self.log("stderr"),
            detail="it was killed with all that ran in memory",
        )
        self._runner.wake()
        self._runner.close()
        shutil.rmtree(attempt.directory, ignore_errors=True)
        self._attempt = None
        return left

    def _outcome(self, attempt: Attempt, end: Exit) -> Outcome:
        """Read what an ended command left; an output that is not safe to read is its failure."""
        self._end = end
        succeeded = end.code == 0 and end.reason is None
        state = TaskState.SUCCEEDED if succeeded else TaskState.FAILED
        incoming = attempt.directory / "incoming"
        fetched = fetch(
            attempt.task.outputs, state, open_tree(f"file://{attempt.working_directory}"), incoming
        )
        reason, detail = end.reason, end.detail
        unsafe = FailureReason.OUTPUT_UNSAFE
        if succeeded and fetched.refused and fetched.refused.reason is unsafe:
            reason, detail = unsafe, fetched.refused.detail
        pairs = zip(fetched.files, fetched.parts, strict=True)
        return Outcome(
            exit_code=end.code,
            reason=reason,
            files={file.path: (incoming / part).read_bytes() for file, part in pairs},
            stdout=self.log("stdout"),
            stderr=self.log("stderr"),
            detail=detail,
            retryable=end.retryable,
        )


def leftovers(run_id: str) -> list[str]:
    """Return a line for each command of a run that runs, and for each directory of one."""
    with closing(ProcessRunner(LocalProcessSettings())) as runner:
        processes = runner.leftovers(run_id, _NO_WORK)
    return [*processes, *(f"directory {place}" for place in _places(run_id))]


def sweep(run_id: str) -> None:
    """Kill and delete everything `leftovers` names."""
    with closing(ProcessRunner(LocalProcessSettings())) as runner:
        runner.sweep(run_id, _NO_WORK)
    for place in _places(run_id):
        shutil.rmtree(place, ignore_errors=True)


def _prefix(run_id: str) -> str:
    return f"batchcore-memory-{run_id}."  # no id has a dot in it


def _places(run_id: str) -> list[Path]:
    return sorted(Path(tempfile.gettempdir()).glob(f"{_prefix(run_id)}*"))


def _write(file: PlannedFile, store: str, directory: Path) -> None:
    filesystem, path = fsspec.core.url_to_fs(resource_url(store, file.key))
    target = directory / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(filesystem.cat_file(path))
    target.chmod(int(file.mode, 8))
