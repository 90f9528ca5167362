"""Secrets as files in memory, from the start of an attempt to its end.

A worker finds each secret as a file; the value goes from the controller's environment straight
into it. The files of an attempt lie in one directory, which only this user can enter, outside the
run directory: in memory on Linux, where ``XDG_RUNTIME_DIR`` (XDG Base Directory Specification) and
``/dev/shm`` (tmpfs) are, else below the temporary directory.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from batchcore.errors import BackendError, EnvironmentNotReady
from batchcore.local.runner import Attempt
from batchcore.transfer.files import write_error, write_whole

INSIDE = PurePosixPath("/run/secrets")  # where a container sees its attempt's directory

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - what is made there is checked to be this user's


def values(attempt: Attempt) -> dict[str, bytes]:
    """Return the value of each of an attempt's secrets, exactly as it was exported.

    Raises `EnvironmentNotReady` (permanent) for one that is not set or empty, which `start` has
    refused before unless the task was not expected to start again.
    """
    found = {name: os.fsencode(os.environ.get(name, "")) for name in attempt.task.secrets}
    for name, value in found.items():
        if not value:
            raise EnvironmentNotReady(
                f"the secret {name} of task {attempt.task.id!r} is not set in the controller's "
                "environment",
                hint=f"export {name}=… and run the same command again",
            )
    return found


def write(attempt: Attempt) -> Path | None:
    """Write an attempt's secrets and return their directory; None for a task that has none.

    For an attempt that has not been started: one that is adopted has its files. They have mode
    0400 and no newline is added. Writing again, after a kill, is harmless.

    Raises `EnvironmentNotReady` for a secret that is not set and for a place that is not this
    user's alone, `TransferError` where memory is full.
    """
    if not attempt.task.secrets:
        return None
    found = values(attempt)
    root = place(os.environ)
    directory = root / _name(attempt)
    for made in (root, directory):
        _make_private(made)
    for name, value in found.items():
        write_whole(directory / name, value, mode=0o400)
    return directory


def remove(attempt: Attempt) -> None:
    """Delete an ended attempt's secrets, wherever an earlier controller may have put them."""
    if attempt.task.secrets:
        for root in _own_places(os.environ):
            _delete(root / _name(attempt))


def leftovers(run_id: str) -> list[str]:
    """Return a line for each attempt of a run whose secrets still exist."""
    return [f"secrets of task {path.name.split('.')[1]}: {path}" for path in _of_run(run_id)]


def sweep(run_id: str) -> None:
    """Delete everything `leftovers` names."""
    for path in _of_run(run_id):
        _delete(path)


def place(environ: Mapping[str, str]) -> Path:
    """Return where this user's secrets are to lie; creates nothing.

    Raises `EnvironmentNotReady` (BC6001) where something that others can enter is there already.
    """
    runtime = Path(environ.get("XDG_RUNTIME_DIR", ""))
    if runtime.is_absolute() and _is_private(runtime):
        found = runtime / "batchcore"
    elif os.access(_SHARED_MEMORY, os.W_OK | os.X_OK):
        found = _SHARED_MEMORY / _own_name()
    else:
        found = Path(tempfile.gettempdir()) / _own_name()
    if os.path.lexists(found):
        _require_private(found)
    return found


def _own_places(environ: Mapping[str, str]) -> list[Path]:
    """Return every place where a controller of this user may have put secrets.

    One that was started from a login session has an ``XDG_RUNTIME_DIR`` that others lack.
    """
    runtimes = (environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{os.geteuid()}")
    places = [Path(runtime) / "batchcore" for runtime in runtimes if runtime]
    places += [root / _own_name() for root in (_SHARED_MEMORY, Path(tempfile.gettempdir()))]
    return [place for place in dict.fromkeys(places) if _is_private(place)]


def _of_run(run_id: str) -> list[Path]:
    return [
        path
        for root in _own_places(os.environ)
        for path in sorted(root.iterdir())
        if path.name.startswith(f"{run_id}.")
    ]


def _name(attempt: Attempt) -> str:
    """Name an attempt's directory; no id has a dot in it."""
    return f"{attempt.run_id}.{attempt.task.id}.{attempt.number}"


def _own_name() -> str:
    return f"batchcore-{os.geteuid()}"


def _make_private(directory: Path) -> None:
    try:
        with suppress(FileExistsError):
            directory.mkdir(mode=0o700)
    except OSError as exc:
        raise write_error(directory, exc) from exc
    _require_private(directory)


def _require_private(directory: Path) -> None:
    if not _is_private(directory):
        raise EnvironmentNotReady(
            f"{directory} is not a directory that you alone can enter, and secrets go there",
            hint=f"if it is yours, type: chmod 700 {directory}; else have it deleted",
            where=str(directory),
            code="BC6001",
        )


def _is_private(directory: Path) -> bool:
    """Return whether it is a directory, no link to one, that this user alone can enter."""
    try:
        status = directory.lstat()
    except OSError:
        return False
    ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
    return ours and not status.st_mode & 0o077


def _delete(directory: Path) -> None:
    try:
        directory.chmod(0o700)  # a worker may have taken its own right to write
        shutil.rmtree(directory)
    except FileNotFoundError:
        return
    except OSError as exc:
        raise BackendError(
            f"{directory}, which holds secrets, cannot be deleted: {exc.strerror}",
            hint=f"type: rm -rf {directory}",
            where=str(directory),
        ) from exc
