"""One run of one task on a node: its files, its process, its limits, its output files."""

from __future__ import annotations

import errno
import shlex
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from typing import Any, Protocol

from msgspec import Struct

from batchcore_azure.emulator import resources
from batchcore_azure.emulator.blobs import Blobs, Identities
from batchcore_azure.emulator.failures import TaskFailure, ended, exit_failure
from batchcore_azure.emulator.places import NODE_ROOT, TaskPlace, seconds
from batchcore_azure.emulator.processes import HostProcess, Launch, Process
from batchcore_azure.emulator.uploads import Uploader

Body = dict[str, Any]

_NO_SPACE = errno.ENOSPC
_KILL_AGAIN, _MOST_KILLS = 2.0, 15

OUT_OF_TIME = "Task was ended because it exceeded its maximum wall clock time"


class Control:
    """How a run in another thread is stopped: once, with the reason that its failure shall name."""

    def __init__(self) -> None:
        """Let the run go on."""
        self.changed = threading.Event()
        self._reason: str | None = None

    @property
    def reason(self) -> str | None:
        """Why the run shall stop; ``""``: nobody waits for its result any more. None: go on."""
        return self._reason

    def stop(self, reason: str) -> None:
        """Stop the run; that nobody waits any more outranks an earlier reason."""
        if self._reason is None or not reason:
            self._reason = reason
            self.changed.set()


class Outcome(Struct, frozen=True, kw_only=True):
    """How a run ended. No `exit_code`: no process has run to its end."""

    exit_code: int | None = None
    failure: Body | None = None
    container: Body | None = None
    retryable: bool = False

    def wire(self) -> Body:
        """Return the part of an `executionInfo` that says it."""
        info: Body = {"result": "failure" if self.failure else "success"}
        if self.exit_code is not None:
            info["exitCode"] = self.exit_code
        if self.failure:
            info["failureInfo"] = self.failure
        if self.container:
            info["containerInfo"] = self.container
        return info


class Executor(Protocol):
    """What the scheduler gives its tasks to."""

    def run(self, body: Body, place: TaskPlace, control: Control) -> Outcome:
        """Run a task to its end; never raises for what the task does."""

    def prefetch(self, image: str) -> None:
        """Have a container image ready; raises `TaskFailure`."""

    def close(self) -> None:
        """Remove what is left of all runs; they have been stopped."""


class NodeExecutor:
    """Runs tasks as a node does: in containers, or as processes of this machine."""

    def __init__(self, name: str, identities: Identities, *, grace: float = 5) -> None:
        """Keep the emulator's name, and the seconds that a process has between TERM and KILL."""
        from batchcore_azure.emulator.containers import ContainerProcess, Docker

        self._docker = Docker(name)
        self._container_process = ContainerProcess
        self._identities = identities
        self._grace = grace

    def prefetch(self, image: str) -> None:
        """Find the image on this machine; raises `TaskFailure`."""
        self._docker.require_image(image)

    def close(self) -> None:
        """Remove the containers that are left."""
        self._docker.close()

    def run(self, body: Body, place: TaskPlace, control: Control) -> Outcome:
        """Run a task to its end: fetch, start, wait, upload."""
        try:
            with ExitStack() as stack:
                blobs = stack.enter_context(closing(Blobs()))
                return self._run(body, place, control, blobs, stack)
        except TaskFailure as failure:
            return Outcome(failure=failure.wire())
        except OSError as error:
            code = "DiskFull" if error.errno == _NO_SPACE else "Unknown"
            return Outcome(failure=TaskFailure(code, f"The node failed: {error}").wire())
        except Exception as error:  # noqa: BLE001 - whatever it is, the task must not run for ever
            return Outcome(failure=TaskFailure("Unknown", f"The emulator failed: {error!r}").wire())

    def _run(
        self, body: Body, place: TaskPlace, control: Control, blobs: Blobs, stack: ExitStack
    ) -> Outcome:
        place.make()
        resources.fetch(
            body.get("resourceFiles") or (), place.working_directory, blobs, self._identities
        )
        place.give()
        if control.reason is not None:
            return Outcome(failure=ended(control.reason).wire())
        process = stack.enter_context(closing(self._start(body, place, control, stack)))
        stopped = self._wait(process, seconds(_limit(body)), control)
        code = process.code()
        failure = stopped or (exit_failure() if code else None)
        outcome = Outcome(
            exit_code=code,
            failure=failure.wire() if failure else None,
            container=process.container(),
            retryable=bool(code) and stopped is None,
        )
        return self._uploaded(outcome, body, place, control, blobs)

    def _start(self, body: Body, place: TaskPlace, control: Control, stack: ExitStack) -> Process:
        command, settings = words(body), body.get("containerSettings")
        if (body.get("userIdentity") or {}).get("username"):
            raise TaskFailure("CommandLaunchFailed", "The emulator has no named user accounts")
        in_container = settings is not None
        place = _as_user(place, body) if in_container else place
        launch = Launch(
            command=command,
            place=place,
            environment=place.environment(
                body, NODE_ROOT if in_container else str(place.node.root)
            ),
            out=stack.enter_context((place.directory / "stdout.txt").open("wb")),
            err=stack.enter_context((place.directory / "stderr.txt").open("wb")),
            ended=control.changed.set,
        )
        if settings is not None:
            return self._container_process(self._docker, settings, launch)
        if _is_admin(body):
            raise TaskFailure(
                "CommandLaunchFailed", "The emulator runs no command of this machine as root"
            )
        if not command:
            raise TaskFailure("CommandLaunchFailed", "The command line is empty")
        return HostProcess(launch)

    def _wait(self, process: Process, limit: float | None, control: Control) -> TaskFailure | None:
        """Wait for the end, forced where it must be; return the failure that being forced is."""
        deadline = None if limit is None else time.monotonic() + limit
        while process.code() is None and control.reason is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            control.changed.wait(left)
            if control.reason is None:
                control.changed.clear()
        if process.code() is not None:
            return None
        reason = control.reason
        self._end(process, control, patient=reason != "")
        return ended(OUT_OF_TIME if reason is None else reason)

    def _end(self, process: Process, control: Control, *, patient: bool) -> None:
        """End a process: TERM, a grace time, KILL; raises `TaskFailure` if even that is in vain."""
        waits = [self._grace if patient else 0.0, *[_KILL_AGAIN] * _MOST_KILLS]
        for signal, seconds_left in zip(
            ("SIGTERM", *["SIGKILL"] * _MOST_KILLS), waits, strict=True
        ):
            control.changed.clear()
            process.signal(signal)
            deadline = time.monotonic() + seconds_left
            while process.code() is None and (left := deadline - time.monotonic()) > 0:
                control.changed.wait(left)
                control.changed.clear()
            if process.code() is not None:
                return
        raise TaskFailure("Unknown", "The task's process cannot be killed")

    def _uploaded(
        self, outcome: Outcome, body: Body, place: TaskPlace, control: Control, blobs: Blobs
    ) -> Outcome:
        """Upload the output files of an ended process; return the outcome with what came of it."""
        files, before = body.get("outputFiles") or (), control.reason
        if not files or before == "":
            return outcome
        uploader = Uploader(place, blobs, self._identities)
        success = outcome.failure is None
        try:
            for _ in uploader.upload(files, place.environment(body, NODE_ROOT), success=success):
                if control.reason != before:
                    raise ended(control.reason or "")
        except TaskFailure as failure:
            return Outcome(
                exit_code=outcome.exit_code,
                # Why the process failed says more than that its files were not uploaded.
                failure=outcome.failure or failure.wire(),
                container=outcome.container,
                retryable=outcome.retryable,
            )
        return outcome


class InstantExecutor:
    """Runs nothing: each task succeeds at once, with an empty file for each that it names.

    For tests with many tasks, which are about the client and not about what a task does.
    """

    def __init__(self, identities: Identities, *, empty_files: bool = True) -> None:
        """Connect to nothing yet."""
        self._identities = identities
        self._empty_files = empty_files
        self._blobs = Blobs()

    def prefetch(self, image: str) -> None:
        """Take any name for an image."""

    def close(self) -> None:
        """Let go of the connections."""
        self._blobs.close()

    def run(self, body: Body, place: TaskPlace, control: Control) -> Outcome:  # noqa: ARG002 - ends at once
        """Upload the empty files and succeed."""
        files = body.get("outputFiles") or () if self._empty_files else ()
        try:
            Uploader(place, self._blobs, self._identities).upload_empty(files)
        except TaskFailure as failure:
            return Outcome(exit_code=0, failure=failure.wire())
        return Outcome(exit_code=0)


def words(body: Mapping[str, Any]) -> list[str]:
    """Return a command line as the words that the program gets; there is no shell."""
    try:
        return shlex.split(str(body.get("commandLine") or ""))
    except ValueError as error:
        raise TaskFailure("CommandLaunchFailed", f"The command line: {error}") from error


def _limit(body: Mapping[str, Any]) -> str | None:
    limit = (body.get("constraints") or {}).get("maxWallClockTime")
    return None if limit is None else str(limit)


def _is_admin(body: Mapping[str, Any]) -> bool:
    auto_user = (body.get("userIdentity") or {}).get("autoUser") or {}
    return str(auto_user.get("elevationLevel") or "").lower() == "admin"


def _as_user(place: TaskPlace, body: Mapping[str, Any]) -> TaskPlace:
    if not _is_admin(body):
        return place
    return TaskPlace(place.node, place.inside, "0:0", place.names)
