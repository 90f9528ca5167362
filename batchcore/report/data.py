"""What ``--json`` prints: plain data, each kind with the name and version of its schema."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from batchcore.errors import BatchcoreError, exit_code_of
from batchcore.report.run import RunLine
from batchcore.run import RunReport
from batchcore.states import TaskState

ERROR = "batchcore.error/1"
RUNS = "batchcore.runs/1"


def json_text(schema: str, data: dict[str, Any]) -> str:
    """Return data as JSON in ASCII, which every terminal and every pipe can carry."""
    return json.dumps({"schema": schema, **msgspec.to_builtins(data, enc_hook=str)}, indent=2)


def run_json(report: RunReport, *, failed_only: bool = False) -> str:
    """Return a run's report as JSON, of the tasks perhaps only those that failed."""
    data = msgspec.structs.asdict(report)
    if failed_only:
        data["tasks"] = [task for task in report.tasks if task.state is TaskState.FAILED]
    return json_text(data.pop("schema"), data)


def runs_json(runs: Sequence[RunLine]) -> str:
    """Return a list of runs as JSON."""
    return json_text(RUNS, {"runs": runs})


def error_json(error: BatchcoreError) -> str:
    """Return an error as JSON."""
    return json_text(
        ERROR,
        {
            "code": error.error_code,
            "message": error.reason,
            "hint": error.hint,
            "exit_code": exit_code_of(error),
            "problems": error.problems,
        },
    )
