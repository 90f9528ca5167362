"""What ``--json`` prints: plain data, each kind with the name and version of its schema."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from batchcore.errors import BatchcoreError, exit_code_of
from batchcore.report.run import RunLine
from batchcore.results import RunReport

ERROR = "batchcore.error/1"
RUNS = "batchcore.runs/1"
_UNPRINTED = re.compile(r"[^\x00-\x7e]+")


def json_text(schema: str, data: dict[str, Any]) -> str:
    """Return data as JSON in ASCII, which every terminal and every pipe can carry."""
    whole = {"schema": schema, **data}
    try:
        content = msgspec.json.encode(whole, enc_hook=str)
    except UnicodeEncodeError:  # a file name that is no Unicode, which only `json` can spell
        return json.dumps(msgspec.to_builtins(whole, enc_hook=str), indent=2)
    text = msgspec.json.format(content, indent=2).decode()
    return _UNPRINTED.sub(lambda found: json.dumps(found[0])[1:-1], text)


def run_json(report: RunReport, driver: Any = None) -> str:
    """Return a run's report as JSON; `driver`, of one that has not ended, is who drives it."""
    data = msgspec.structs.asdict(report)
    if report.state == "running":
        data["driver"] = driver
    return json_text(data.pop("schema"), data)


def one_line(text: str) -> str:
    """Return JSON as a single line, for a stream of several."""
    return msgspec.json.format(text, indent=-1)


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
