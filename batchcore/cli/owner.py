"""Who drives a run, and how to say it."""

from __future__ import annotations

from batchcore.record.rundir import Owner, is_driven, owner_of
from batchcore.results import RunReport


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
