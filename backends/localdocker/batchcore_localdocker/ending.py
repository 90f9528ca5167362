"""What an ended container leaves to be read: its exit, and logs that went through the daemon."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docker import APIClient  # noqa: TID253 - only loaded once the backend is used
from msgspec.structs import replace

from batchcore.errors import BackendError, TransferError
from batchcore.local.runner import Attempt, Exit
from batchcore.states import FailureReason
from batchcore.transfer.files import write_error
from batchcore_localdocker.copying import receive
from batchcore_localdocker.exits import exit_of, seconds, writes_own_logs
from batchcore_localdocker.translate import NOT_STARTED, is_copied, task_directory

# Exit codes of a container that something else ended: KILL, TERM, and what a daemon writes down
# that finds a container gone after it was itself away.
_KILLED = frozenset({137, 143})
_LOST = 255
# What docker-init 0.19 (tini) says, and exits with, where it cannot execute the command.
_INIT_FAILURE = re.compile(rb"^\[FATAL tini \(\d+\)\] exec .* failed: ", re.MULTILINE)
_INIT_CODES = frozenset({1, 126, 127})
_TAIL = 4096
# The daemon notes a signal after sending it, so the end may come first (seen with 20.10).
_EVENT_DELAY = 0.5


def read_exit(
    client: APIClient,
    attempt: Attempt,
    container: Mapping[str, Any],
    *,
    stopped: bool,
    contact_lost: bool,
) -> Exit:
    """Return how an ended container ended; on return both logs are files beside `wd`.

    `stopped` says that this runner has stopped it, `contact_lost` that the daemon was away while
    it ran. Raises the SDK's exceptions and `BackendError`.
    """
    if is_copied(container):
        source = task_directory(attempt)
        receive(client, container["Id"], source, attempt.task_directory)
    if writes_own_logs(container):
        # The task directory was the worker's to write: only that something is there counts.
        not_started = os.path.lexists(attempt.task_directory / NOT_STARTED)
    else:
        save_logs(client, attempt, container["Id"])
        not_started = _init_failed(attempt, int(container["State"]["ExitCode"]))
    exit_ = exit_of(container, not_started=not_started)
    if exit_.reason is not None or stopped:
        return exit_
    if exit_.code in {*_KILLED, _LOST} and contact_lost:
        return _lost(exit_, "the Docker daemon went away while the task ran")
    if exit_.code in _KILLED and _was_signalled(client, container):
        return _lost(exit_, "the container was stopped from outside, or with its daemon")
    return exit_


def _lost(exit_: Exit, detail: str) -> Exit:
    return replace(exit_, reason=FailureReason.NODE_LOST, detail=detail)


def _was_signalled(client: APIClient, container: Mapping[str, Any]) -> bool:
    """Return whether the daemon was told to signal the container, or cannot know.

    A daemon that is being stopped tells itself; a task that kills itself does so without it. All
    that it remembers counts: where its clock was set back, the end is before what led to it. One
    that has been started again, or has seen many other events since, remembers not even the end.
    """
    ended = seconds(container["State"].get("FinishedAt")) or 0
    # On a busy machine the end is noted late, but before it is told.
    now = seconds(client.info().get("SystemTime")) or 0
    # The API takes fractions of a second (v1.41, "Monitor events"), the SDK's types do not.
    until: Any = f"{max(ended + _EVENT_DELAY, now):.6f}"
    events = client.events(
        since=1,
        until=until,
        filters={"container": container["Id"], "event": ["kill", "die"]},
        decode=True,
    )
    try:
        remembered = {event["Action"] for event in events}
    finally:
        events.close()
    return "kill" in remembered or "die" not in remembered


def save_logs(client: APIClient, attempt: Attempt, container: str) -> None:
    """Write both streams of a container to the files that a shell would have written.

    Written aside and then renamed, as the worker may have put something of its own in their
    place. Raises `TransferError` where the disk is full or ill, which says nothing of the task,
    and `BackendError` where the worker has seen to it that they cannot be written.
    """
    for stream in ("stdout", "stderr"):
        aside = attempt.control / f"{stream}.part"
        try:
            with aside.open("wb") as file:
                for chunk in client.logs(
                    container,
                    stdout=stream == "stdout",
                    stderr=stream == "stderr",
                    stream=True,
                    follow=False,
                ):
                    file.write(chunk)
            _replace(aside, attempt.task_directory / f"{stream}.txt")
        except OSError as exc:
            if exc.filename is None and exc.errno is None:
                raise  # one of requests', which are OSErrors too
            error = write_error(attempt.task_directory / f"{stream}.txt", exc)
            if isinstance(error, TransferError):
                raise error from exc
            raise BackendError(
                f"the log {stream}.txt of task {attempt.task.id!r} could not be written in "
                f"{attempt.task_directory}: {exc.strerror}",
                hint="see what the task does to the directory of its logs",
            ) from exc


def _replace(aside: Path, target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    aside.replace(target)


def _init_failed(attempt: Attempt, code: int) -> bool:
    """Return whether the init process says that there was nothing it could execute."""
    if code not in _INIT_CODES:
        return False
    with (attempt.task_directory / "stderr.txt").open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
        return _INIT_FAILURE.search(file.read()) is not None
