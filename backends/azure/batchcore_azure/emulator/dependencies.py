"""Whether a task may start for what it depends on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from batchcore_azure.emulator.records import Task

Body = Mapping[str, Any]


def met(body: Body, tasks: Mapping[str, Task]) -> bool:
    """Return whether all that a task depends on has ended as it must; `tasks` by lower-cased id.

    An id that is not there keeps the task waiting.
    """
    return all(
        (task := tasks.get(wanted.lower())) is not None and _satisfies(task)
        for wanted in _wanted(body.get("dependsOn") or {})
    )


def _wanted(depends: Body) -> Iterable[str]:
    yield from depends.get("taskIds") or ()
    for ids in depends.get("taskIdRanges") or ():
        yield from map(str, range(int(ids["start"]), int(ids["end"]) + 1))


def _satisfies(task: Task) -> bool:
    if task.state != "completed":
        return False
    if str(task.execution.get("result")).lower() == "success":
        return True
    options = exit_options(task.body.get("exitConditions") or {}, task.execution)
    return str(options.get("dependencyAction") or "block").lower() == "satisfy"


def exit_options(conditions: Body, execution: Body) -> Body:
    """Return what a task's exit conditions say of this end; the first that fits, else `default`."""
    code = execution.get("exitCode")
    failure = str((execution.get("failureInfo") or {}).get("code") or "")
    found: Body | None = None
    if failure.lower().startswith("fileupload"):
        found = conditions.get("fileUploadError")
    elif code is None:
        found = conditions.get("preProcessingError")
    else:
        exact = (c for c in conditions.get("exitCodes") or () if c["code"] == code)
        ranges = (
            c for c in conditions.get("exitCodeRanges") or () if c["start"] <= code <= c["end"]
        )
        entry = next(exact, None) or next(ranges, None)
        found = entry and entry["exitOptions"]
    return found or conditions.get("default") or {}
