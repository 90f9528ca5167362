"""Cleaning up after many runs: those of a directory, and those whose directory is gone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from batchcore.backend import BackendSpec
from batchcore.errors import (
    BackendError,
    BatchcoreError,
    Conflict,
    EnvironmentNotReady,
    SettingsError,
)
from batchcore.life.manage import clean_run
from batchcore.plugins import Plugins
from batchcore.run import Run
from batchcore.settings import resolve


class Swept(Struct, frozen=True, kw_only=True):
    """What a run has left, a line for each thing, or why it was let be.

    `name` is the run's id or, where `directory` is None, the backend on which runs have left
    things whose directory is gone.
    """

    name: str
    directory: Path | None = None
    things: tuple[str, ...] = ()
    refusal: BatchcoreError | None = None


def sweep_run(
    directory: Path, *, dry_run: bool, results: bool = False, before: float | None = None
) -> Swept | None:
    """Delete what one run has left; with `dry_run` only say what that is.

    Results and logs stay unless `results`. None where the run changed last at `before`, in
    seconds since the epoch, or later. A run that has not ended, that a controller drives or whose
    backend fails is let be, and `Swept.refusal` says why.
    """
    try:
        run = Run.load(directory)
        if before is not None and last_change(run) >= before:
            return None
        if run.state == "running":
            raise _not_ended(run)
        things = clean_run(run, dry_run=dry_run, results=results)
    except (BatchcoreError, OSError) as exc:
        return Swept(name=directory.name, directory=directory, refusal=_refusal(exc))
    return Swept(name=run.id, directory=directory, things=tuple(things))


def last_change(run: Run) -> float:
    """Return when the run's last task ended, in seconds since the epoch.

    Of a run that has not ended, when its record was last written.
    """
    if run.state == "running":
        times = []
        for name in ("run.db", "run.db-wal"):
            with suppress(FileNotFoundError):
                times.append((run.directory / name).stat().st_mtime)
    else:
        times = [task.ended_at for task in run.tasks if task.ended_at is not None]
    return max(times, default=run.heading.created_at)


def sweep_orphans(
    plugins: Plugins, keep: Collection[str], listed: Sequence[Swept] | None = None
) -> Iterator[Swept]:
    """Say what runs have left whose directory is gone, on each backend that can tell.

    Nothing of the runs in `keep`. A backend that is not set up here has nothing. What an earlier
    call has `listed` is deleted; a backend that has more by now is let be.
    """
    before = {swept.name: swept.things for swept in listed or ()}
    for spec in plugins.scan():
        if not isinstance(spec, BackendSpec) or not spec.finds_orphans:
            continue
        if listed is not None and spec.name not in before:
            continue
        try:
            things = _orphans(plugins, spec.name, keep, before.get(spec.name))
        except (EnvironmentNotReady, SettingsError):
            continue
        except (BatchcoreError, OSError) as exc:
            yield Swept(name=spec.name, refusal=_refusal(exc))
            continue
        if things:
            yield Swept(name=spec.name, things=tuple(things))


def _orphans(
    plugins: Plugins, name: str, keep: Collection[str], listed: Sequence[str] | None
) -> Sequence[str]:
    settings = resolve(plugins, flags={"backend": name})
    backend = plugins.create(name, settings.backend)
    try:
        found = backend.release_orphans(keep, dry_run=True)
        if listed is None:
            return found
        if not {*found} <= {*listed}:
            raise Conflict(
                f"more is left on {name} by now than was listed",
                hint="look again: batchcore clean --all",
            )
        return backend.release_orphans(keep, dry_run=False)
    finally:
        backend.close()


def _refusal(error: BatchcoreError | OSError) -> BatchcoreError:
    """Return what keeps one run from being cleaned, so that the others still are."""
    if isinstance(error, BatchcoreError):
        return error
    return BackendError(str(error), hint="see what the system says, and type the same again")


def _not_ended(run: Run) -> Conflict:
    return Conflict(
        f"run {run.id} has tasks that have not ended, and their outputs are not fetched",
        hint=f"go on with it, or stop it: batchcore cancel {run.directory}",
        where=str(run.directory),
    )
