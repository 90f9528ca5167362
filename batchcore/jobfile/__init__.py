"""From a file to a job and back: controllers (``.py``), TOML, JSON, and tables of tasks.

- `load`: one door, by suffix; `controller`: a Python script that builds the job;
- `text`, `lines`: TOML and JSON with strict syntax and the line of each key;
- `declarative`, `build`, `credentials`, `wording`: raw data to the model, every problem at once;
- `tables`, `template`, `expand`: one task per row of a table or matrix;
- `dump`, `schema`: the job as JSON text, and the published JSON Schema of a job file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batchcore.jobfile.controller import ControllerReached, capture
from batchcore.jobfile.dump import dump_job
from batchcore.jobfile.expand import tasks_from_rows
from batchcore.jobfile.load import LoadedJob, load_job

if TYPE_CHECKING:
    from batchcore.jobfile.schema import job_schema

__all__ = [
    "ControllerReached",
    "LoadedJob",
    "capture",
    "dump_job",
    "job_schema",
    "load_job",
    "tasks_from_rows",
]


def __getattr__(name: str) -> Any:
    # Imported above, `schema` would run twice under `python -m batchcore.jobfile.schema`.
    if name == "job_schema":
        from batchcore.jobfile.schema import job_schema

        return job_schema
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
