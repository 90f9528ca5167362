"""What a power cut may have taken, and bringing files to disk so that it cannot.

A killed controller loses nothing that it wrote; a machine that stops loses what had not reached
the disk. So files are written without waiting for the disk while a run goes on, the record says
in which boot of the machine that was, and they are all brought to disk before the run is ended.
What another boot left is not believed before it was looked at.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from batchcore.transfer.collect import Collected
from batchcore.transfer.files import sync_directory, write_error

UNKNOWN = "unknown"
_AT_ONCE = 8
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_ASK = ("sysctl", "-n", "kern.bootsessionuuid")


def boot_id() -> str:
    """Return what names this boot of the machine, `UNKNOWN` where the system does not tell.

    Linux: ``/proc/sys/kernel/random/boot_id`` (proc_sys_kernel(5)); macOS: the sysctl
    ``kern.bootsessionuuid``.
    """
    with suppress(OSError):
        return _BOOT_ID.read_text().strip()
    with suppress(OSError, subprocess.SubprocessError):
        asked = subprocess.run(_ASK, capture_output=True, check=True, text=True, timeout=5)
        return asked.stdout.strip() or UNKNOWN
    return UNKNOWN


def is_same_boot(then: str, now: str) -> bool:
    """Return whether the machine has surely not stopped between two boot ids."""
    return then == now != UNKNOWN


def sync(files: Iterable[Path], root: Path) -> None:
    """Bring files below `root` to disk, and the names of all that lead to them.

    A file that is gone is left out. Raises `TransferError` naming the one that the disk refused.
    """
    files = list(files)
    with ThreadPoolExecutor(_AT_ONCE, "sync") as pool:  # one commit of the disk serves several
        list(pool.map(_sync, files))
        list(pool.map(sync_directory, _directories(files, root)))


def _directories(files: Iterable[Path], root: Path) -> set[Path]:
    """Return the root and every directory between it and a file: each holds the next one's name."""
    found = {root}
    for directory in {file.parent for file in files}:
        below = directory.relative_to(root).parents
        found |= {directory, *(root / name for name in below)}
    return found


def _sync(file: Path) -> None:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as exc:
        raise write_error(file, exc) from exc
    try:
        os.fsync(descriptor)
    except OSError as exc:
        raise write_error(file, exc) from exc
    finally:
        os.close(descriptor)


def are_unchanged(outputs: Path, files: Iterable[Collected]) -> bool:
    """Return whether every published file is in its place with its content, read to its end."""
    return all(_is_unchanged(outputs / file.to, file) for file in files)


def _is_unchanged(path: Path, file: Collected) -> bool:
    try:
        with path.open("rb") as stream:
            if os.fstat(stream.fileno()).st_size != file.size:
                return False
            return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
    except OSError:
        return False
