"""The verb `wait`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import click
from msgspec import Struct

from batchcore.cli.completion import run_names
from batchcore.cli.execute import close, exit_code, watched
from batchcore.cli.find import find_run, run_option, typed_name
from batchcore.cli.leaving import Leaving
from batchcore.cli.options import json_option, traceback_option
from batchcore.cli.session import Session
from batchcore.driver.drive import late
from batchcore.errors import Conflict, Detached, EnvironmentNotReady
from batchcore.life.background import hand_over
from batchcore.life.follow import Pace
from batchcore.life.manage import wait_run
from batchcore.plugins import Plugins
from batchcore.record import Record
from batchcore.record.rundir import is_driven
from batchcore.report.data import json_text
from batchcore.results import RunReport
from batchcore.run import Run
from batchcore.units import seconds as seconds_of

SCHEMA = "batchcore.wait/1"
_STARTS = 3
_BAD = (3, 4)


class _Named(Struct, frozen=True):
    """A run and what to type to name it."""

    run: Run
    name: str


@click.command(epilog="Example:  batchcore wait sum-of-powers-7f3a --timeout 10m")
@click.argument("names", metavar="RUN...", nargs=-1, required=True, shell_complete=run_names)
@click.option("--timeout", metavar="TIME", help="Wait so long at most, such as 90s, 10m or 2h.")
@click.option("--any", "first", is_flag=True, help="Return when the first of several has ended.")
@click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong.")
@run_option
@json_option
@traceback_option
@click.pass_obj
def wait(
    session: Session,
    /,
    *,
    names: tuple[str, ...],
    timeout: str | None,
    first: bool,
    quiet: bool,
    runs: str | None,
) -> int:
    """Wait until runs have ended; go on where nobody does. Exit as run does.

    Where no process drives a run, this one does it: that mends a run whose driver was killed or
    whose machine was started again. Of several runs each such one gets a driver in the
    background. What failed for good is not tried again.
    """
    found = [_found(name, runs) for name in dict.fromkeys(names)]
    limit = None if timeout is None else seconds_of(timeout, "--timeout")
    try:
        if len(found) == 1:
            ended = [_wait_one(session, found[0], limit, quiet=quiet)]
        else:
            ended = _wait_several(session, found, limit, first=first, quiet=quiet)
    except KeyboardInterrupt:
        raise _left(found) from None
    if session.wants_json:
        session.out.json(json_text(SCHEMA, {"runs": ended}))
    codes = [exit_code(report.state) for report in ended]
    return next((code for code in _BAD if code in codes), max(codes))


def _left(found: Sequence[_Named]) -> Detached:
    """Return what to tell who leaves at once: runs that this process drove are not handed over."""
    words = " ".join(each.name for each in found)
    idle = [
        each.run.id
        for each in found
        if not each.run.has_ended and not is_driven(each.run.directory)
    ]
    text = f"Nothing drives {', '.join(idle)} now." if idle else "What drives the run goes on."
    return Detached(f"Detached. {text}", hint=f"wait again:  batchcore wait {words}")


def _found(name: str, runs: str | None) -> _Named:
    run = find_run(name, runs)
    return _Named(run, typed_name(run, name, runs))


def _wait_one(session: Session, named: _Named, limit: float | None, *, quiet: bool) -> RunReport:
    remote = Plugins(environ=session.environ).spec(named.run.heading.backend).remote
    with watched(session, named.run, named.name, quiet=quiet) as progress:
        wait_run(
            named.run,
            [progress],
            timeout=limit,
            clock=session.clock,
            leave=Leaving(named.name, remote=remote),
        )
    return _close(session, named, progress.seconds, quiet=quiet)


def _wait_several(
    session: Session, found: Sequence[_Named], limit: float | None, *, first: bool, quiet: bool
) -> list[RunReport]:
    clock = session.clock
    until = None if limit is None else clock.monotonic() + limit
    pace, starts, waiting = Pace(clock), dict.fromkeys(found, 0), list(found)
    ended: list[RunReport] = []
    while waiting:
        over = until is not None and clock.monotonic() >= until
        ends = [one for one in waiting if one.run.has_ended]
        gone = [one for one in ends if over or not is_driven(one.run.directory)]
        waiting = [one for one in waiting if one not in gone]
        ended += [_close(session, one, None, quiet=quiet) for one in gone]
        if not waiting or (first and ended):
            break
        if over:
            raise late(limit or 0, waiting[0].run.directory)
        for one in waiting:
            if not is_driven(one.run.directory):
                starts[one] += _start_driver(one, starts[one])
        pace.rest(news=bool(gone), until=until)
    return ended


def _start_driver(named: _Named, earlier: int) -> bool:
    """Give a run that nobody drives a driver in the background; return whether that was needed."""
    try:
        record = Record.resume(named.run.directory)
    except Conflict:
        return False  # somebody has begun to drive it just now
    with closing(record):
        if record.has_ended:
            return False
        if earlier == _STARTS:
            raise EnvironmentNotReady(
                f"the background driver of {named.run.id} has ended {_STARTS} times before the run",
                hint=f"see why: batchcore wait {named.name}",
                where=str(named.run.directory / "driver.log"),
            )
        hand_over(record)
    return True


def _close(session: Session, named: _Named, seconds: float | None, *, quiet: bool) -> RunReport:
    report = named.run.report()
    close(session, report, seconds, named.name, quiet=quiet, again="")
    return report
