"""What stands for your engine: processes of this machine. Put your own commands in its place.

Everything that must be remembered is in a directory of each attempt, so that another process,
which has only the run, can go on:

- the directory itself: the attempt is accepted; in it `wd`, the working directory
- `lock` is held for as long as the attempt runs, by its own processes
- `pid` is their process group; written once, so that an attempt starts once
- `exit` is the command's exit code
- `refused` says why the system would not start it
- `stop` says why the attempt was told to stop
"""

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from batchcore.backend import Check, RunContext, TaskSubmission, TaskUpdate
from batchcore.errors import EnvironmentNotReady
from batchcore.plan import PlannedTask
from batchcore.states import FailureReason, TaskState
from batchcore.transfer import materialise, remove_tree

from batchcore_frozen_v1.settings import FrozenV1Settings

SCRIPT = """\
trap : TERM INT HUP
place=$1
shift
set -C
echo "$$" >"$place/pid" || exit
[ -e "$place/stop" ] && exit
"$@" >"$place/stdout.txt" 2>"$place/stderr.txt"
echo "$?" >"$place/exit"
kill -KILL 0
"""


def require() -> Check:
    """Find out whether the engine can be used at all."""
    if shutil.which("setsid") is None:
        raise EnvironmentNotReady("there is no program 'setsid'", hint="install util-linux")
    return Check()


def place_of(run: RunContext, attempt: TaskSubmission) -> Path:
    """Return the directory of an attempt."""
    return run.directory / "work" / "tasks" / attempt.task.id / str(attempt.attempt)


def attempts(run: RunContext) -> Iterator[tuple[PlannedTask, Path]]:
    """Yield every attempt that was accepted, with its directory."""
    tasks = {task.id: task for task in run.plan.tasks}
    for place in (run.directory / "work" / "tasks").glob("*/*"):
        yield tasks[place.parent.name], place


def accept(run: RunContext, attempt: TaskSubmission) -> None:
    """Make the attempt's directory, whole or not at all, unless it is there."""
    place = place_of(run, attempt)
    if place.exists():
        return
    new = run.directory / "work" / "new"
    remove_tree(new)
    (new / "wd").mkdir(parents=True)
    (new / "lock").touch()
    materialise(attempt.task.files, run.directory / "work" / "store", new / "wd")
    place.parent.mkdir(parents=True, exist_ok=True)
    new.rename(place)


def start(run: RunContext, attempt: TaskSubmission, settings: FrozenV1Settings) -> None:
    """Start an accepted attempt, unless it was started or stopped before."""
    place = place_of(run, attempt)
    if any((place / name).exists() for name in ("pid", "refused", "stop")):
        return
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(place / "wd"),
        "BATCHCORE_RUN_ID": run.run_id,
        "BATCHCORE_TASK_ID": attempt.task.id,
        "BATCHCORE_ATTEMPT": str(attempt.attempt),
        **attempt.task.env,
    }
    session = [shutil.which("setsid") or "setsid", "--fork", "/bin/sh", "-c", SCRIPT, "sh"]
    nice = [shutil.which("nice") or "nice", "-n", str(settings.nice), "--"]
    with (place / "lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        try:
            subprocess.run(
                [*session, str(place), *nice, *attempt.task.command],
                cwd=place / "wd",
                env=environment,
                pass_fds=[lock.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=True,
            )
        except OSError as exc:
            (place / "refused").write_text(str(exc))


def runs(place: Path) -> bool:
    """Return whether any process of an attempt is left."""
    with suppress(FileNotFoundError), (place / "lock").open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def look(task: PlannedTask, place: Path) -> TaskUpdate:
    """Return what an attempt's directory says of it."""
    running = runs(place)  # asked first: what has ended has written its exit code before
    code, why, refused = _number(place / "exit"), _text(place / "stop"), _text(place / "refused")
    group, started = _text(place / "pid").strip(), _time(place / "pid")
    reason, detail = None, ""
    if refused:
        state, reason, detail = TaskState.FAILED, FailureReason.START_FAILED, refused
    elif code is None and running:
        state = TaskState.RUNNING if group else TaskState.QUEUED
    elif code is None and started is None and not why:
        state = TaskState.QUEUED
    else:
        state, reason, detail = _end(task, code, why)
    return TaskUpdate(
        task_id=task.id,
        attempt=int(place.name),
        state=state,
        reason=reason,
        exit_code=code,
        detail=detail,
        native=group,
        started_at=started if group else None,
        ended_at=_ended(place) if state.final else None,
    )


def _end(
    task: PlannedTask, code: int | None, why: str
) -> tuple[TaskState, FailureReason | None, str]:
    if why == "timeout":
        return TaskState.FAILED, FailureReason.TIMEOUT, f"stopped after {task.timeout} s"
    if code == 0:
        return TaskState.SUCCEEDED, None, ""
    if why:
        return TaskState.CANCELED, None, ""
    if code is None:
        detail = "it was gone and had written no exit code"
        return TaskState.FAILED, FailureReason.NODE_LOST, detail
    return TaskState.FAILED, FailureReason.EXIT_CODE, ""


def watch(task: PlannedTask, place: Path) -> TaskUpdate:
    """Keep an attempt's time limit and the grace time of a stop, then look."""
    update = look(task, place)
    if update.state.final:
        return update
    started, stopped, now = update.started_at, _time(place / "stop"), time.time()
    if stopped is not None and now > stopped + task.grace:
        _signal(place, signal.SIGKILL)
    elif stopped is None and started and task.timeout and now > started + task.timeout:
        stop(place, "timeout")
    return look(task, place)


def stop(place: Path, why: str) -> None:
    """Send TERM; `watch` sends KILL when the grace time is over."""
    if not (place / "stop").exists():
        (place / "stop").write_text(why)
        _signal(place, signal.SIGTERM)


def leftovers(run: RunContext) -> Sequence[str]:
    """Return a line for each thing that the run has left."""
    lines = [f"processes of task {task.id}" for task, place in attempts(run) if runs(place)]
    work = run.directory / "work"
    return [*lines, f"directory {work}"] if work.exists() else lines


def remove(run: RunContext) -> Sequence[str]:
    """Delete everything that `leftovers` names."""
    lines = leftovers(run)
    for _task, place in attempts(run):
        if runs(place):
            _signal(place, signal.SIGKILL)
    remove_tree(run.directory / "work")
    return lines


def _signal(place: Path, number: signal.Signals) -> None:
    """Signal the process group of an attempt; nothing where it has gone or not begun."""
    group = _number(place / "pid")
    with suppress(ProcessLookupError):
        if group is not None:
            os.killpg(group, number)


def _number(path: Path) -> int | None:
    """Return the number in a file, None where it is not there or not all of it."""
    text = _text(path)
    return int(text) if text.endswith("\n") and text.strip().isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""


def _ended(place: Path) -> float | None:
    """Return when the exit code was written, or the last sign of life of what has left none."""
    end, *signs = [_time(place / name) for name in ("exit", "stop", "pid", "stdout.txt")]
    return end or max((sign for sign in signs if sign), default=None)


def _time(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None
