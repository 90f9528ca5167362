"""Handing a run to a process of its own, which drives it without a terminal.

The process has its own session, so neither Ctrl-C nor a closed terminal reaches it. It inherits
the environment, and with it the secrets of tasks: nothing of that is written anywhere. What it
says goes to ``driver.log`` in the run directory.
"""

from __future__ import annotations

import os
import select
import shlex
import subprocess
import sys
import threading
import time
from contextlib import suppress
from io import FileIO
from pathlib import Path

from batchcore.errors import EnvironmentNotReady
from batchcore.record import Record
from batchcore.record.rundir import name_owner
from batchcore.transfer.files import write_error

LOG = "driver.log"
_SECONDS = 30.0
_LAST_LINES = 3


def hand_over(record: Record) -> int:
    """Start a background driver, give it this open record's run, and return its process id.

    The record is closed. On return the process holds the run, or has ended because there was
    nothing left to do or another process holds it. Raises `EnvironmentNotReady` where it could
    not be started, with its last words.
    """
    base = Path(record.header.plan.base)
    listening, speaking = os.pipe()
    try:
        try:
            child, begin = _start(record.directory, base, speaking)
        finally:
            os.close(speaking)
        # Reaps it, should this process live longer.
        threading.Thread(target=child.wait, name="batchcore-reaper", daemon=True).start()
        # Before the lock is free: who looks in between is not to think that nobody drives.
        name_owner(record.directory, child.pid, background=True, coming=True)
        record.close()
        _require_word(listening, child, record.directory, begin)
    finally:
        os.close(listening)
        record.close()
    return child.pid


def say_ready(descriptor: int) -> None:
    """Tell the process that waits in `hand_over` that the run is held; -1: nobody waits."""
    if descriptor >= 0:
        with suppress(OSError):  # it may have gone
            os.write(descriptor, b".")
        with suppress(OSError):
            os.close(descriptor)


def _start(directory: Path, base: Path, speaking: int) -> tuple[subprocess.Popen[bytes], int]:
    """Start the process, and return it with the place in the log where its words begin."""
    # Without -P a file beside the job could take the place of a module.
    words = [sys.executable, "-P", "-m", "batchcore", "drive", str(directory)]
    with _opened(directory / LOG) as log:
        with suppress(OSError):  # a disk that is full is told by the driver
            log.write(time.strftime("--- %Y-%m-%d %H:%M:%S\n").encode())
        begin = log.tell()
        try:
            child = subprocess.Popen(
                [*words, "--ready", str(speaking)],
                cwd=base if base.is_dir() else directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(speaking,),
            )
        except OSError as exc:
            raise EnvironmentNotReady(
                f"the background driver cannot be started: {exc.strerror}",
                hint=f"drive it here: batchcore wait {shlex.quote(str(directory))}",
                where=sys.executable,
            ) from exc
    return child, begin


def _opened(path: Path) -> FileIO:
    try:
        return open(path, "ab", opener=_private, buffering=0)
    except OSError as exc:
        raise write_error(path, exc) from exc


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _require_word(
    listening: int, child: subprocess.Popen[bytes], directory: Path, begin: int
) -> None:
    """Wait until the process has said that it holds the run, or has ended well."""
    log, place = directory / LOG, shlex.quote(str(directory))
    poller = select.poll()
    poller.register(listening, select.POLLIN)
    spoke = poller.poll(_SECONDS * 1000)
    if spoke and os.read(listening, 1):
        return
    lines: list[str] = []
    with suppress(OSError):
        lines = log.read_bytes()[begin:].decode(errors="replace").splitlines()
    said = " ".join(" ".join(lines[-_LAST_LINES:]).split())
    what, hint = "it ended", f"drive it here: batchcore wait {place}"
    if not spoke:
        what = f"process {child.pid} said nothing for {_SECONDS:.0f} s"
        hint = f"look whether it has by now: batchcore status {place}"
    raise EnvironmentNotReady(
        f"the background driver has not taken the run: {what}" + (f": {said}" if said else ""),
        hint=hint,
        where=str(log),
    )
