"""`status --watch`: how far a run is, until it ends; and who drives it."""

from __future__ import annotations

from functools import partial

from batchcore.cli.live import display
from batchcore.cli.session import Session
from batchcore.record.rundir import Owner, is_driven, owner_of
from batchcore.report.data import one_line, run_json
from batchcore.report.run import summary_text
from batchcore.run import Run, RunReport


def driver_of(report: RunReport) -> Owner | None:
    """Return who drives a run now, None where nobody does or it has ended."""
    if report.state != "running" or not is_driven(report.directory):
        return None
    return owner_of(report.directory) or Owner(pid=0, host="?")


def driver_text(driver: Owner | None, name: str) -> str:
    """Say who drives a run that has not ended, or how to go on with it."""
    if driver is None:
        return f"no driver runs; go on with: batchcore wait {name}"
    return f"driven by process {driver.pid} on {driver.host} since {driver.since}"


def watch_run(session: Session, run: Run, name: str, interval: float) -> None:
    """Show a run again and again until it ends, or until nobody drives it.

    A terminal shows one line that changes; elsewhere it is a line for each change, with
    ``--json`` one of JSON.
    """
    with display(session.err, quiet=session.wants_json) as shown:
        last = ""
        while True:
            # Asked before the record is read: what the driver wrote last is not missed.
            driven = is_driven(run.directory)
            report = run.report(states=())
            text = _text(session, run, report)
            shown.status(partial(str, text))
            if not shown.live and _key(report) != last:
                session.out.line(text)
                last = _key(report)
            if report.state != "running" or not driven:
                break
            session.clock.sleep(interval)
    if report.state == "running":
        session.err.line(driver_text(None, name))


def _text(session: Session, run: Run, report: RunReport) -> str:
    if session.wants_json:
        return one_line(run_json(report, driver_of(report)))
    return summary_text(report, run.heading.created_at, session.clock.now())


def _key(report: RunReport) -> str:
    return f"{report.state} {report.counts}"
