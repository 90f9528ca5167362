"""Whether this machine can run tasks as processes."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from batchcore.backend import Finding
from batchcore.errors import EnvironmentNotReady
from batchcore.local import secretfiles
from batchcore.local.settings import LocalProcessSettings
from batchcore.units import show_bytes

_SECONDS = 30
_TOLD = 7


def examine(settings: LocalProcessSettings) -> Iterator[Finding]:
    """Look at the machine: its size, its shell, what it tells of processes, room for secrets."""
    yield _size(settings)
    yield _session()
    yield _processes()
    yield _secrets()


def _size(settings: LocalProcessSettings) -> Finding:
    processors = os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    size = f"{processors} processor{'s'[: processors > 1]}, {show_bytes(memory)} of memory"
    if (settings.slots or 0) > processors:
        return Finding(
            "warning",
            f"{size}, and slots = {settings.slots}: tasks share processors",
            f"set slots to {processors} at most, or leave it out",
        )
    return Finding("ok", size)


def _session() -> Finding:
    """Start a command as tasks are started: by the shell, in a session of its own."""
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", f"exit {_TOLD}"],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as exc:
        return Finding(
            "problem", f"a command cannot be started by /bin/sh: {exc}", "install a POSIX shell"
        )
    if done.returncode != _TOLD:
        return Finding(
            "problem",
            f"/bin/sh told exit code {done.returncode} for {_TOLD}",
            "see what /bin/sh is: ls -l /bin/sh",
        )
    return Finding("ok", "a command runs in a session of its own")


def _processes() -> Finding:
    if Path("/proc/self/environ").exists():
        return Finding("ok", "/proc tells whose a process is")
    return Finding(
        "warning",
        "there is no /proc: the process of an earlier run is known by its number alone",
        "mount it: mount -t proc proc /proc",
    )


def _secrets() -> Finding:
    try:
        place = secretfiles.place(os.environ)
    except EnvironmentNotReady as exc:
        return Finding("problem", exc.reason, exc.hint)
    if place.parent == Path(tempfile.gettempdir()):
        return Finding(
            "warning",
            f"secrets would lie in {place}, which may be a disk",
            "set XDG_RUNTIME_DIR to a directory in memory that you alone can enter",
        )
    return Finding("ok", f"secrets would lie in memory, in {place}")
