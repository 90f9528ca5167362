"""`status --watch`: how far a run is, until it ends."""

from __future__ import annotations

from collections.abc import Iterator

from batchcore.cli.execute import titles_of
from batchcore.cli.live import display
from batchcore.cli.owner import driver_of, driver_text
from batchcore.cli.progress import Progress
from batchcore.cli.session import Session
from batchcore.events import Observers
from batchcore.life.follow import Follower
from batchcore.record.rundir import is_driven
from batchcore.report.data import one_line, run_json
from batchcore.report.run import summary_text
from batchcore.results import RunReport
from batchcore.run import Run


def watch_run(session: Session, run: Run, name: str, interval: float) -> None:
    """Show a run again and again until it ends, or until nobody drives it.

    A terminal shows the view that ``run`` has; elsewhere it is a line for each change, with
    ``--json`` one of JSON.
    """
    if session.wants_json or not (session.out.interactive and session.err.interactive):
        for news in _looks(session, run, Observers(), interval):
            if news:
                session.out.line(_text(session, run, run.report(states=())))
    else:
        with display(session.err, quiet=False) as shown:
            # The view need not be closed: what failed is listed when this is over.
            progress = Progress(shown, titles_of(run, name), session.clock)
            for _ in _looks(session, run, Observers([progress]), interval):
                pass
    if run.state == "running":
        session.err.line(driver_text(None, name))


def _looks(session: Session, run: Run, observers: Observers, interval: float) -> Iterator[bool]:
    """Look at a run now and then, and yield each time whether there was news."""
    follower = Follower(run, observers, session.clock)
    driven = True
    while driven and not follower.ended:
        # Asked before the record is read: what the driver wrote last is not missed.
        driven = is_driven(run.directory)
        yield follower.look()
        if driven and not follower.ended:
            session.clock.sleep(interval)


def _text(session: Session, run: Run, report: RunReport) -> str:
    if session.wants_json:
        return one_line(run_json(report, driver_of(report)))
    return summary_text(report, run.heading.created_at, session.clock.now())
