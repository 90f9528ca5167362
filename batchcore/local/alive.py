"""Which processes of this machine live, and whose they are: Linux tells by ``/proc``."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path


def exists(pid: int) -> bool:
    """Return whether there is such a process, whosoever it is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def belongs(pid: int, run_id: str, task_id: str) -> bool:
    """Return whether a process was started for this task: a pid may be another's by now.

    Where the system shows no environment of any process, the pid is believed.
    """
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except FileNotFoundError:
        return not Path("/proc/self/environ").exists()
    except OSError:
        return False
    wanted = {f"BATCHCORE_RUN_ID={run_id}".encode(), f"BATCHCORE_TASK_ID={task_id}".encode()}
    return wanted <= set(environment)


def of_run(run_id: str, work: Path) -> dict[int, str]:
    """Return the processes of this run that live, with their tasks.

    Those that attempts have recorded, and, where the system shows the environment of processes,
    those that have left their attempt's group.
    """
    living = {}
    for path in work.glob("*/*/control/pid"):
        task_id = path.parts[-4]
        text = path.read_text().strip()
        if text.isdigit() and exists(int(text)) and belongs(int(text), run_id, task_id):
            living[int(text)] = task_id
    needle = f"BATCHCORE_RUN_ID={run_id}".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        variables = _environment_of(path)
        if needle in variables:
            task = next((v for v in variables if v.startswith(b"BATCHCORE_TASK_ID=")), b"=?")
            living.setdefault(int(path.parts[-2]), task.partition(b"=")[2].decode())
    return living


def _environment_of(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().split(b"\0")
    except OSError:
        return []


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal a whole process group; nothing where it is gone or another's."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
