"""The verb `clean`."""

from __future__ import annotations

import click

from batchcore.cli.completion import run_names
from batchcore.cli.find import find_run, run_option
from batchcore.cli.options import json_option, traceback_option
from batchcore.cli.session import Session
from batchcore.errors import UsageError
from batchcore.life.manage import clean_run
from batchcore.report.data import json_text
from batchcore.report.text import plural
from batchcore.run import Run
from batchcore.units import seconds

SCHEMA = "batchcore.clean/1"


@click.command(epilog="Example:  batchcore clean sum-of-powers-7f3a --dry-run")
@click.argument("run", metavar="[RUN]", required=False, shell_complete=run_names)
@click.option("--all", "every", is_flag=True, help="Clean up after every run that has ended.")
@click.option("--older-than", metavar="TIME", help='With --all: runs that ended so long ago: "7d".')
@click.option("--dry-run", is_flag=True, help="List what would be deleted; delete nothing.")
@click.option("-y", "--yes", is_flag=True, help="Delete without asking.")
@click.option("--results", is_flag=True, help="Delete the results, the logs and the record too.")
@run_option
@json_option
@traceback_option
@click.pass_obj
def clean(
    session: Session,
    /,
    *,
    run: str | None,
    every: bool,
    older_than: str | None,
    dry_run: bool,
    yes: bool,
    results: bool,
    runs: str | None,
) -> int:
    """Delete what a run, or every run, left; results stay.

    Asks on a terminal. Elsewhere it deletes nothing without --yes. With --all, what a run left
    whose directory is gone goes too, and runs that have not ended are let be: that exits 9.
    """
    _refuse_contradictions(run, older_than, every=every)
    if run is None:
        from batchcore.cli.cleanall import Wanted, clean_all

        age = None if older_than is None else seconds(older_than, "--older-than")
        wanted = Wanted(runs=runs, dry_run=dry_run, yes=yes, results=results, older_than=age)
        return clean_all(session, wanted)
    _clean_one(session, find_run(run, runs), dry_run=dry_run, yes=yes, results=results)
    return 0


def _refuse_contradictions(run: str | None, older_than: str | None, *, every: bool) -> None:
    if run is None and not every:
        raise UsageError(
            "which run? one is named, or all are meant",
            hint="batchcore clean RUN, or batchcore clean --all",
        )
    if run is not None and every:
        raise UsageError(f"--all and the run {run!r} contradict each other", hint="keep one")
    if older_than is not None and not every:
        raise UsageError("--older-than chooses among all runs", hint="add --all")


def _clean_one(session: Session, found: Run, *, dry_run: bool, yes: bool, results: bool) -> None:
    lines = clean_run(found, dry_run=True, results=results)
    if not lines:
        _show(session, found, [], deleted=False)
        return
    delete = not dry_run and (yes or session.may_ask)
    if delete and not yes:
        _list(session, lines, "to delete")
        if not session.agrees("Delete them?"):
            return
    if delete:
        lines = clean_run(found, dry_run=False, results=results)
    _show(session, found, lines, deleted=delete)
    if not delete and not dry_run:
        session.err.line("nothing was deleted: this is no terminal; add --yes to delete")


def _list(session: Session, lines: list[str], what: str) -> None:
    session.err.line("\n".join([f"{plural(len(lines), 'thing')} {what}:", *lines]))


def _show(session: Session, run: Run, lines: list[str], *, deleted: bool) -> None:
    if session.wants_json:
        data = {"run": run.id, "deleted": deleted, "things": lines}
        session.out.json(json_text(SCHEMA, data))
        return
    for line in lines:
        session.out.line(f"{'deleted' if deleted else 'would delete'}  {line}")
    if not lines:
        session.err.line("nothing to delete")
