"""A task's process: how the node waits for it and stops it, and one without a container."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO, Protocol

from msgspec import Struct

from batchcore_azure.emulator.failures import TaskFailure
from batchcore_azure.emulator.places import TaskPlace


class Launch(Struct, frozen=True, kw_only=True):
    """What is started for a task; `ended` is called, in any thread, when it has ended."""

    command: list[str]
    place: TaskPlace
    environment: dict[str, str]
    out: BinaryIO
    err: BinaryIO
    ended: Callable[[], None]


class Process(Protocol):
    """A process that has been started; it says by a callback when it has ended."""

    def code(self) -> int | None:
        """Return its exit code, None while it runs."""

    def signal(self, name: str) -> None:
        """Send `SIGTERM` or `SIGKILL`; nothing where it has ended."""

    def container(self) -> dict[str, Any] | None:
        """Return its `containerInfo`, None without a container."""

    def close(self) -> None:
        """Remove what is left of it; it has ended."""


class HostProcess:
    """A process of this machine, in a session of its own."""

    def __init__(self, launch: Launch) -> None:
        """Start it; raises `TaskFailure` where there is no such program."""
        directory = launch.place.working_directory
        uid, gid = map(int, launch.place.user.split(":"))
        switch: dict[str, Any] = {}
        if uid != os.geteuid():
            switch = {"user": uid, "group": gid, "extra_groups": []}
        try:
            self._process = subprocess.Popen(
                launch.command,
                cwd=directory,
                env={"PATH": os.defpath, "HOME": str(directory), **launch.environment},
                stdin=subprocess.DEVNULL,
                stdout=launch.out,
                stderr=launch.err,
                start_new_session=True,
                **switch,
            )
        except FileNotFoundError as error:
            raise TaskFailure(
                "CommandProgramNotFound", "The specified command program is not found"
            ) from error
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise TaskFailure(
                "CommandLaunchFailed", f"The command could not be started: {error}"
            ) from error
        self._thread = threading.Thread(target=self._wait, args=[launch.ended], daemon=True)
        self._thread.start()

    def _wait(self, ended: Callable[[], None]) -> None:
        self._process.wait()
        ended()

    def code(self) -> int | None:
        """Return its exit code, as a shell counts it: 128 and the number of a signal."""
        code = self._process.poll()
        return 128 - code if code is not None and code < 0 else code

    def signal(self, name: str) -> None:
        """Signal it with all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.Signals[name])

    def container(self) -> None:
        """There is none."""

    def close(self) -> None:
        """End what it left behind."""
        self.signal("SIGKILL")
        self._thread.join()
