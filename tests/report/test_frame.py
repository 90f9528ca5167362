"""The tasks of a run as a table of pandas."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pandas as pd
import pytest

import batchcore as bc
from batchcore.errors import EnvironmentNotReady
from batchcore.report.frame import data_frame
from batchcore.run import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run of a task that succeeds and leaves a file, and of one that fails."""
    job = bc.Job("demo").with_task("good", shell="printf 12345 > out.txt", outputs=["out.txt"])
    job = job.with_task("bad", shell="echo no number >&2; exit 3")
    return job.run("local-process", directory=tmp_path / "run")


def test_a_row_is_a_task_in_the_order_of_the_job(run: Run) -> None:
    frame = run.to_dataframe()
    assert frame.index.name == "task"
    assert list(frame.index) == ["good", "bad"]


def test_the_columns_say_how_each_task_ended(run: Run) -> None:
    frame = run.to_dataframe()
    assert list(frame.state) == ["succeeded", "failed"]
    assert frame.exit_code.to_dict() == {"good": 0, "bad": 3}
    assert frame.loc["bad", "reason"] == "exit_code"
    assert frame.loc["bad", "detail"] == "no number"
    assert pd.isna(frame.loc["good", "reason"])


def test_outputs_are_paths_with_their_size(run: Run) -> None:
    frame = run.to_dataframe()
    (file,) = frame.loc["good", "outputs"]
    assert file.read_text() == "12345"
    assert frame.bytes.to_dict() == {"good": 5, "bad": 0}


def test_times_are_times_and_durations_can_be_added(run: Run) -> None:
    frame = run.to_dataframe()
    spent = (frame.ended_at - frame.started_at).dt.total_seconds()
    assert spent.sum() == pytest.approx(frame.duration.sum(), abs=1e-5)
    assert str(frame.started_at.dt.tz) == "UTC"


def test_a_task_that_never_started_has_no_times(tmp_path: Path) -> None:
    job = bc.Job("demo").with_task("a", shell="exit 1")
    job = job.with_task("b", shell="true", depends_on=["a"])
    frame = job.run("local-process", directory=tmp_path / "run").to_dataframe()
    assert frame.loc["b", ["exit_code", "started_at", "duration"]].isna().all()


def test_no_task_gives_the_same_columns(run: Run) -> None:
    empty, full = data_frame([]), run.to_dataframe()
    assert list(empty.columns) == list(full.columns)
    assert len(empty) == 0


def test_the_docstring_names_every_column(run: Run) -> None:
    named = re.findall(r"`(\w+)`", Run.to_dataframe.__doc__ or "")
    assert set(run.to_dataframe().columns) <= set(named)


def test_without_pandas_the_error_says_how_to_get_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(EnvironmentNotReady) as caught:
        run.to_dataframe()
    assert caught.value.hint == "pip install pandas"


def test_pandas_is_imported_for_a_table_alone(run: Run) -> None:
    import subprocess

    code = "import sys, batchcore; batchcore.Run; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
