"""How long a person waits for the state of a finished run of 100,000 tasks."""

from __future__ import annotations

import tempfile
from pathlib import Path

from frame import HERE, Row, child, interleaved, python

SECONDS = 1.5
LISTING = "from batchcore.run import Run; import sys; assert Run.load(sys.argv[1]).tasks"


def rows(*, tiny: bool = False) -> list[Row]:
    """Measure the whole command, as a summary and as JSON, and a listing in Python."""
    tasks = 20 if tiny else 100_000
    with tempfile.TemporaryDirectory() as directory:
        child(python(HERE / "large.py", str(tasks), directory, "finished"))
        run = Path(directory, "run")
        status = python("-m", "batchcore", "status", run)
        median = interleaved(
            {
                "status": lambda: child(status).seconds,
                "json": lambda: child([*status, "--json"]).seconds,
                "tasks": lambda: child(python("-c", LISTING, run)).seconds,
            },
            rounds=1 if tiny else 5,
        )
    return [
        Row(measure=f"status of {tasks:,} finished tasks", ours=median["status"], goal=SECONDS),
        Row(measure="the same as JSON, every task listed", ours=median["json"]),
        Row(measure="the same in Python: Run.tasks", ours=median["tasks"]),
    ]
