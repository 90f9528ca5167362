"""The verb `clean`."""

from __future__ import annotations

import click

from batchcore.cli.find import find_run, run_option
from batchcore.cli.options import json_option, traceback_option
from batchcore.cli.session import Session
from batchcore.manage import clean_run
from batchcore.report.data import json_text
from batchcore.report.text import plural
from batchcore.run import Run

SCHEMA = "batchcore.clean/1"


@click.command(epilog="Example:  batchcore clean sum-of-powers-7f3a --dry-run")
@click.argument("run", metavar="RUN")
@click.option("--dry-run", is_flag=True, help="List what would be deleted; delete nothing.")
@click.option("-y", "--yes", is_flag=True, help="Delete without asking.")
@click.option("--results", is_flag=True, help="Delete the results, the logs and the record too.")
@run_option
@json_option
@traceback_option
@click.pass_obj
def clean(
    session: Session, /, *, run: str, dry_run: bool, yes: bool, results: bool, runs: str | None
) -> None:
    """Delete what a run left; results stay.

    Asks on a terminal. Elsewhere it deletes nothing without --yes.
    """
    found = find_run(run, runs)
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
