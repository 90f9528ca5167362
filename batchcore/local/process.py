"""`local-process`: the command as a child process of this machine, in a session of its own.

A few lines of POSIX sh stand between this process and the command, so that the command's end is
written down even when the controller is killed first. They write their process id, send the two
streams to the log files, run the command with its words untouched, and write its exit code.
The file of the process id is made only once: of two shells for one attempt the second gives up.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from batchcore.backend import Check, Shell
from batchcore.local import alive, secretfiles
from batchcore.local.environment import worker_environment
from batchcore.local.process_check import check_plan, command_here, default_search_path
from batchcore.local.runner import Attempt, Exit
from batchcore.local.settings import LocalProcessSettings
from batchcore.plan import Plan, PlannedTask
from batchcore.states import FailureReason
from batchcore.transfer.files import write_error

_SCRIPT = """\
set -C
printf '%s\\n' "$$" >"$3" || exit 125
set +C
exec >"$1" 2>"$2"
exit_file=$4
shift 4
trap : TERM INT HUP
"$@"
printf '%s\\n' "$?" >"$exit_file"
"""
_TAKEN = 125
_SLICE = 0.05
_ADOPTION_SECONDS = 0.5
_SWEEP_SECONDS = 10.0
_LONGEST_POLL = 86_400.0  # poll(2) takes milliseconds as an int of 32 bits
_INHERITED = ("LANG", "LC_ALL", "LC_CTYPE", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")


class ProcessRunner:
    """Runs commands as child processes; adopts those that an earlier controller started."""

    def __init__(self, settings: LocalProcessSettings | None = None) -> None:
        """Keep the settings; nothing is started."""
        self._settings = settings or LocalProcessSettings()
        self._children: dict[Path, subprocess.Popen[bytes]] = {}
        self._stopped: set[Path] = set()
        self._descriptors: tuple[int, ...] = os.pipe()
        self._wake_read, self._wake_write = self._descriptors
        self._closed = False
        self._programs: dict[tuple[str, str], str] = {}

    def check(self, plan: Plan) -> Check:
        """Say whether the plan can run here; see `check_plan`."""
        return check_plan(plan, self._settings)

    def prepare(self, tasks: Sequence[PlannedTask], notify: Callable[[str], None]) -> None:
        """Do nothing: a process needs no image."""

    def argv(self, attempt: Attempt) -> Sequence[str]:
        """Return the words to execute for an attempt; a subclass may put a command before them.

        Called once for each attempt that is started, in any thread, when its working directory is
        there. The first word is a program of this machine; a relative one with a slash starts at
        the working directory. It must stay in the process group of what it starts.
        """
        return command_here(attempt.task.command, attempt.base, self._settings)

    def start(self, attempt: Attempt) -> Exit | None:
        """Start the command, or adopt the process of an earlier controller."""
        if self._pid(attempt) is not None or self._adopted(attempt):
            return None
        environment = self._environment(attempt, secretfiles.write(attempt))
        argv = self.argv(attempt)
        program = self._find(argv[0], attempt.working_directory, environment["PATH"])
        if program is None:
            return Exit(
                reason=FailureReason.START_FAILED,
                detail=f"there is no program {argv[0]!r} on this machine",
                native="ENOENT",
            )
        _mark_start(attempt)
        try:
            child = subprocess.Popen(
                [
                    *("/bin/sh", "-c", _SCRIPT, "sh"),
                    str(attempt.task_directory / "stdout.txt"),
                    str(attempt.task_directory / "stderr.txt"),
                    str(attempt.control / "pid"),
                    str(attempt.control / "exit"),
                    *(program, *argv[1:]),
                ],
                cwd=attempt.working_directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, ValueError) as exc:
            return Exit(
                reason=FailureReason.START_FAILED,
                detail=f"{argv[0]!r} could not be started: {exc}",
                native=exc.__class__.__name__,
            )
        self._children[attempt.directory] = child
        return None

    def shell(self, attempt: Attempt) -> Shell:
        """Say how a shell is opened in the working directory, with the worker's environment."""
        environment = self._environment(attempt, secretfiles.write(attempt))
        _mark_start(attempt)
        return Shell(
            argv=(shutil.which("bash") or "/bin/sh",),
            directory=attempt.working_directory,
            env={**environment, "TERM": os.environ.get("TERM", "dumb")},
        )

    def wait(self, attempt: Attempt, timeout: float | None) -> Exit | None:
        """Wait for the process to end; None after `timeout` seconds or a `wake`."""
        pid = self._pid(attempt)
        if pid is not None and self._runs(pid, attempt):
            if not self._sleep_until_end(pid, attempt, timeout):
                return None
            alive.signal_group(pid, signal.SIGKILL)
        child = self._children.pop(attempt.directory, None)
        if child is not None and child.wait() == _TAKEN and self._pid(attempt) is not None:
            return self.wait(attempt, timeout)  # an earlier controller's shell was first
        return _exit(attempt, child, stopped=attempt.directory in self._stopped)

    def stop(self, attempt: Attempt, *, kill: bool) -> None:
        """Signal the whole process group."""
        pid = self._pid(attempt)
        if pid is not None and self._runs(pid, attempt):
            self._stopped.add(attempt.directory)
            alive.signal_group(pid, signal.SIGKILL if kill else signal.SIGTERM)

    def remove(self, attempt: Attempt) -> None:
        """Delete the attempt's secrets; an ended process leaves nothing else behind."""
        self._stopped.discard(attempt.directory)
        secretfiles.remove(attempt)

    def leftovers(self, run_id: str, work: Path) -> Sequence[str]:
        """Name the processes of this run that still live, and the secrets it has left."""
        living = alive.of_run(run_id, work)
        living |= {c.pid: d.parent.name for d, c in self._children.items() if work in d.parents}
        processes = [f"processes of task {task}" for task in sorted(set(living.values()))]
        return [*processes, *secretfiles.leftovers(run_id)]

    def sweep(self, run_id: str, work: Path) -> None:
        """Kill the processes of this run, and delete its secrets."""
        for child in list(self._children.values()):
            alive.signal_group(child.pid, signal.SIGKILL)
            child.wait()
        self._children.clear()
        deadline = time.monotonic() + _SWEEP_SECONDS
        while (living := alive.of_run(run_id, work)) and time.monotonic() < deadline:
            for pid in living:
                alive.signal_group(pid, signal.SIGKILL)
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_SLICE / 5)
        secretfiles.sweep(run_id)

    def wake(self) -> None:
        """Make every `wait` return."""
        if not self._closed:
            self._closed = True
            os.write(self._wake_write, b"x")

    def close(self) -> None:
        """Close the pipe; running commands go on."""
        descriptors, self._descriptors = self._descriptors, ()
        for descriptor in descriptors:
            os.close(descriptor)
        for child in self._children.values():
            child.returncode = child.returncode or 0  # it goes on alone: no ResourceWarning
        self._children.clear()

    def _environment(self, attempt: Attempt, secrets: Path | None) -> dict[str, str]:
        """Build the worker's environment; of the controller's own only what names its locale."""
        names = (name for name in _INHERITED if name not in attempt.task.secrets)
        inherited = {name: os.environ[name] for name in names if name in os.environ}
        return {
            "PATH": default_search_path(),
            "TMPDIR": str(attempt.directory / "tmp"),
            **inherited,
            **worker_environment(
                attempt,
                node_root=attempt.directory.parent.parent,
                task_directory=attempt.task_directory,
                secrets=secrets,
            ),
        }

    def _find(self, program: str, directory: Path, path: str) -> str | None:
        """Return the program to run, looked for only once; one that is gone is looked for again."""
        known = self._programs.get((program, path))
        if known is not None and os.access(known, os.X_OK):
            return known
        found = _find(program, directory, path)
        if found is not None and "/" not in program:
            self._programs[program, path] = found
        return found

    def _pid(self, attempt: Attempt) -> int | None:
        if child := self._children.get(attempt.directory):
            return child.pid
        try:
            text = (attempt.control / "pid").read_text()
        except FileNotFoundError:
            return None
        return int(text) if text.endswith("\n") and text.strip().isdigit() else None

    def _runs(self, pid: int, attempt: Attempt) -> bool:
        """Return whether the process lives and is this attempt's, not a later one's."""
        if attempt.directory in self._children:
            return True
        return alive.exists(pid) and alive.belongs(pid, attempt.run_id, attempt.task.id)

    def _adopted(self, attempt: Attempt) -> bool:
        """Return whether an earlier controller started this attempt just before it was killed."""
        if not (attempt.control / "starting").exists():
            return False
        deadline = time.monotonic() + _ADOPTION_SECONDS
        while self._pid(attempt) is None and time.monotonic() < deadline:
            time.sleep(_SLICE / 5)
        return self._pid(attempt) is not None

    def _sleep_until_end(self, pid: int, attempt: Attempt, timeout: float | None) -> bool:
        """Return True at the end of the process, False after `timeout` or a wake."""
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        except (AttributeError, OSError):
            return self._poll_until_end(pid, self._children.get(attempt.directory), timeout)
        try:
            poller = select.poll()
            poller.register(descriptor, select.POLLIN)
            poller.register(self._wake_read, select.POLLIN)
            limit = None if timeout is None else min(max(timeout, 0), _LONGEST_POLL) * 1000
            ready = poller.poll(limit)
            return any(found == descriptor for found, _event in ready)
        finally:
            os.close(descriptor)

    def _poll_until_end(
        self, pid: int, child: subprocess.Popen[bytes] | None, timeout: float | None
    ) -> bool:
        """Do the same where the system has no descriptors for processes."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._closed and (deadline is None or time.monotonic() < deadline):
            ended = child.poll() is not None if child else not alive.exists(pid)
            if ended:
                return True
            time.sleep(_SLICE)
        return False


def _exit(attempt: Attempt, child: subprocess.Popen[bytes] | None, *, stopped: bool) -> Exit:
    """Return how a process ended that is gone; `stopped` says that this runner has ended it."""
    code = child.wait() if child is not None else None
    started = _mtime(attempt.control / "pid")
    try:
        text = (attempt.control / "exit").read_text()
        ended = _mtime(attempt.control / "exit")
    except FileNotFoundError:
        text, ended = "", None
    if text.endswith("\n") and text.strip().isdigit():
        return Exit(code=int(text), started_at=started, ended_at=ended)
    if code is not None and code < 0 and stopped:
        return Exit(code=128 - code, started_at=started)
    return Exit(
        reason=FailureReason.NODE_LOST,
        detail="the process was gone and had written no exit code",
        started_at=started,
    )


def _find(program: str, directory: Path, path: str) -> str | None:
    """Return the program to run; a relative one with a slash starts at the working directory."""
    if "/" in program:
        place = directory / program
        return program if place.is_file() and os.access(place, os.X_OK) else None
    return shutil.which(program, path=path)


def _mark_start(attempt: Attempt) -> None:
    """Leave word that the command is about to start, and give it a place for temporary files."""
    try:
        (attempt.directory / "tmp").mkdir(exist_ok=True)
        (attempt.control / "starting").touch()
    except OSError as exc:
        raise write_error(attempt.control, exc) from exc


def _mtime(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None
