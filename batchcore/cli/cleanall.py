"""Cleaning up after all runs: what is listed, what is deleted, and what was let be."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from batchcore.cli.find import run_directories, runs_directory
from batchcore.cli.session import Session
from batchcore.errors import Conflict, exit_code_of
from batchcore.life.sweep import Swept, sweep_orphans, sweep_run
from batchcore.plugins import Plugins
from batchcore.report.data import json_text
from batchcore.report.text import plural

SCHEMA = "batchcore.clean-all/1"


class Wanted(Struct, frozen=True, kw_only=True):
    """What the user asked for; `older_than` is in seconds."""

    runs: str | None
    dry_run: bool
    yes: bool
    results: bool
    older_than: float | None


def clean_all(session: Session, wanted: Wanted) -> int:
    """List what all runs have left, ask, delete that; return the exit code.

    0 where every run could be cleaned; 9 where one was let be because it has not ended or is
    driven; where a backend failed or is not there, the exit code of that.
    """
    directories = run_directories(runs_directory(wanted.runs))
    plugins = Plugins(environ=session.environ)
    before = None if wanted.older_than is None else session.clock.now() - wanted.older_than
    keep = {directory.name for directory in directories}
    found = _left(wanted, directories, before)
    found += sweep_orphans(plugins, keep)
    things = [f"{swept.name}  {thing}" for swept in found for thing in swept.things]
    delete = bool(things) and not wanted.dry_run and (wanted.yes or session.may_ask)
    if delete and not wanted.yes:
        session.err.line("\n".join([f"{plural(len(things), 'thing')} to delete:", *things]))
        if not session.agrees("Delete them?"):
            return 0
    if delete:
        found = [*_deleted(plugins, keep, wanted, found, before)]
    _show(session, found, deleted=delete)
    if things and not delete and not wanted.dry_run:
        session.err.line("nothing was deleted: this is no terminal; add --yes to delete")
    return _exit_code(found)


def _left(wanted: Wanted, directories: Sequence[Path], before: float | None) -> list[Swept]:
    """Return every run that has left something or must be let be, the oldest first."""
    looked = (
        sweep_run(directory, dry_run=True, results=wanted.results, before=before)
        for directory in reversed(directories)
    )
    return [swept for swept in looked if swept and (swept.things or swept.refusal)]


def _deleted(
    plugins: Plugins,
    keep: Collection[str],
    wanted: Wanted,
    found: Sequence[Swept],
    before: float | None,
) -> Iterator[Swept]:
    """Delete what was listed and nothing else; a run that somebody drives by now is let be."""
    orphans = [swept for swept in found if swept.directory is None]
    for swept in found:
        if swept.directory is None:
            continue
        if swept.refusal:
            yield swept
            continue
        done = sweep_run(swept.directory, dry_run=False, results=wanted.results, before=before)
        if done:
            yield done
    yield from (swept for swept in orphans if swept.refusal)
    yield from sweep_orphans(plugins, keep, [swept for swept in orphans if not swept.refusal])


def _show(session: Session, found: Sequence[Swept], *, deleted: bool) -> None:
    if session.wants_json:
        runs = [_data(swept) for swept in found if swept.directory is not None]
        orphans = [_data(swept) for swept in found if swept.directory is None]
        data = {"deleted": deleted, "runs": runs, "orphans": orphans}
        session.out.json(json_text(SCHEMA, data))
    things = [f"{swept.name}  {thing}" for swept in found for thing in swept.things]
    word = "deleted" if deleted else "would delete"
    for thing in [] if session.wants_json else things:
        session.out.line(f"{word}  {thing}")
    for swept in found:
        if swept.refusal:
            session.err.line(f"let be: {swept.name}: {swept.refusal.reason}", "note")
            session.err.line(f"  {swept.refusal.hint}")
    if not things:
        session.err.line("nothing to delete")


def _data(swept: Swept) -> dict[str, Any]:
    error = swept.refusal
    place = {"run": swept.name, "directory": swept.directory}
    return {
        **(place if swept.directory is not None else {"backend": swept.name}),
        "things": swept.things,
        "refusal": error
        and {"code": error.error_code, "message": error.reason, "hint": error.hint},
    }


def _exit_code(found: Sequence[Swept]) -> int:
    errors = [swept.refusal for swept in found if swept.refusal]
    failures = [exit_code_of(error) for error in errors if not isinstance(error, Conflict)]
    return min(failures, default=Conflict.exit_code if errors else 0)
