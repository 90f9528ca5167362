"""The tasks of a run as a table of pandas, which is imported for it alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from batchcore.errors import EnvironmentNotReady
from batchcore.results import TaskResult

if TYPE_CHECKING:
    import pandas as pd


def data_frame(tasks: Sequence[TaskResult]) -> pd.DataFrame:
    """Return a row for each task, in their order; for the columns see `Run.to_dataframe`."""
    pd = _pandas()
    columns = {
        "state": pd.Categorical([task.state.value for task in tasks]),
        "reason": _texts(pd, [task.reason and task.reason.value for task in tasks]),
        "exit_code": pd.array([task.exit_code for task in tasks], dtype="Int64"),
        "attempt": pd.array([task.attempt for task in tasks], dtype="int64"),
        "started_at": _times(pd, [task.started_at for task in tasks]),
        "ended_at": _times(pd, [task.ended_at for task in tasks]),
        "duration": pd.array([task.duration for task in tasks], dtype="Float64"),
        "node": _texts(pd, [task.node for task in tasks]),
        "detail": _texts(pd, [task.detail for task in tasks]),
        "bytes": pd.array([sum(o.size for o in task.outputs) for task in tasks], dtype="int64"),
        "outputs": pd.Series([[o.file for o in task.outputs] for task in tasks], dtype="object"),
    }
    frame = pd.DataFrame(columns)
    frame.index = pd.Index([task.id for task in tasks], name="task", dtype="str")
    return frame


def _pandas() -> Any:
    try:
        import pandas as pd
    except ImportError as exc:
        raise EnvironmentNotReady(
            "a table of the tasks needs pandas, which is not installed",
            hint="pip install pandas",
        ) from exc
    return pd


def _texts(pd: Any, values: Sequence[str | None]) -> Any:
    return pd.array([value or None for value in values], dtype="string")


def _times(pd: Any, values: Sequence[float | None]) -> Any:
    return pd.to_datetime(pd.Series(values, dtype="float64"), unit="s", utc=True)
