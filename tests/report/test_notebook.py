"""What a notebook shows of jobs, runs and tasks, by IPython's own formatter and in a kernel."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.formatters import DisplayFormatter
from nbclient import NotebookClient

import batchcore as bc
from batchcore.report.notebook import ROWS, run_bundle
from batchcore.results import OutputFile, RunReport, TaskResult
from batchcore.states import FailureReason, TaskState

SECONDS = 100


def shown(value: Any) -> dict[str, str]:
    """Return what IPython keeps of a value that ends a cell."""
    kept, _metadata = DisplayFormatter().format(value)
    return dict(kept)


class Cells(HTMLParser):
    """The texts of a page's cells, and all its tags with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self._inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self._inside = tag == "td"
        self.cells += [""] if self._inside else []

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.cells[-1] += data


def result(number: int, **changes: Any) -> TaskResult:
    known: dict[str, Any] = {
        "id": f"t{number}",
        "state": TaskState.SUCCEEDED,
        "attempt": 1,
        "reason": None,
        "exit_code": 0,
        "detail": "",
        "native": "",
        "node": "",
        "started_at": 10.0,
        "ended_at": 12.5,
        "outputs": (),
    }
    return TaskResult(**{**known, **changes})


def report(tasks: list[TaskResult]) -> RunReport:
    counts: dict[str, int] = {}
    for task in tasks:
        counts[task.state] = counts.get(task.state, 0) + 1
    return RunReport(
        run="demo-1",
        backend="memory",
        state="failed",
        directory=Path("/runs/demo-1"),
        counts=counts,
        tasks=tuple(tasks),
    )


def broken(number: int, detail: str = "ValueError: x") -> TaskResult:
    return result(
        number,
        state=TaskState.FAILED,
        reason=FailureReason.EXIT_CODE,
        exit_code=3,
        detail=detail,
    )


def test_a_job_shows_what_its_tasks_run() -> None:
    job = bc.Job("demo", image="worker:v1").with_task(
        "a", command=["python", "w.py", "x y"], outputs=["out.txt"]
    )
    kept = shown(job)
    assert kept["text/plain"] == "<Job demo · 1 task · image worker:v1>"
    assert Cells(kept["text/html"]).cells == ["a", "python w.py 'x y'", "", "out.txt"]


def test_a_job_of_very_many_tasks_stays_small() -> None:
    job = bc.Job("demo", command="true").with_tasks([bc.Task(f"t{n}") for n in range(10_000)])
    kept = shown(job)
    assert len(kept["text/plain"]) < 100
    assert len(kept["text/html"]) < 4000
    assert "(+ 9,990 not shown)" in kept["text/html"]


def test_a_job_shows_no_value_of_its_environment() -> None:
    job = bc.Job("demo", command="true", env={"MODE": "value-7d1e"}).with_task("a")
    assert "value-7d1e" not in "".join(shown(job).values())


def test_a_run_shows_what_failed_first() -> None:
    kept = shown(report([result(1), broken(2)]))
    cells = Cells(kept["text/html"]).cells
    assert cells[:5] == ["t2", "failed", "exit 3   ValueError: x", "1", "2.5 s"]
    assert cells[6] == "t1"
    assert kept["text/plain"] == "<Run demo-1 · memory · failed · 1/2 succeeded · 1 failed>"


def test_a_run_of_very_many_tasks_stays_small() -> None:
    kept = shown(report([result(n) for n in range(1000)]))
    assert len(kept["text/html"]) < 6000
    assert f"(+ {1000 - ROWS} not shown)" in kept["text/html"]


def test_a_handle_shows_the_run_as_it_is_now(tmp_path: Path) -> None:
    job = bc.Job("demo").with_task("a", shell="echo hello > out.txt", outputs=["out.txt"])
    job = job.with_task("b", shell="exit 4")
    run = job.run("local-process", directory=tmp_path / "run")
    assert Cells(shown(run)["text/html"]).cells[::6] == ["b", "a"]
    assert shown(run)["text/plain"].endswith("failed · 1/2 succeeded · 1 failed>")


def test_a_task_shows_its_files() -> None:
    file = OutputFile(path="out.txt", file=Path("/runs/out.txt"), size=2048, sha256="0" * 64)
    page = Cells(shown(result(1, outputs=(file,)))["text/html"])
    assert page.cells == ["out.txt", "2.0 KiB", "/runs/out.txt"]


@given(st.text(max_size=40))
def test_no_text_of_a_log_becomes_a_part_of_the_page(detail: str) -> None:
    plain = Cells(run_bundle(report([broken(1, "plain")]))["text/html"]).tags
    for hostile in (
        detail,
        f"<script>{detail}</script>",
        f"'\"><b {detail}>&lt;",
        f"</td>{detail}",
    ):
        html = run_bundle(report([broken(1, hostile)]))["text/html"]
        assert Cells(html).tags == plain


def test_the_page_brings_no_colour_script_or_link() -> None:
    html = shown(report([broken(1)]))["text/html"]
    known = {"div", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert {tag for tag, _ in Cells(html).tags} <= known
    assert set(re.findall(r'style="([^"]*)"', html)) == {"text-align: left"}


def test_a_kernel_runs_a_job_and_keeps_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    first = (
        "import batchcore as bc\n"
        "job = bc.Job('demo').with_task('a', shell='exit 3')\n"
        "news = []\n"
        "run = job.run('local-process', observers=[news.append])\n"
        "run"
    )
    cells = [
        first,
        "type(news[0]).__name__, type(news[-1]).__name__",
        "run.to_dataframe()",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(book, timeout=SECONDS, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    run, events, frame = (cell.outputs[-1].data for cell in book.cells)
    assert Cells(run["text/html"]).cells[:3] == ["a", "failed", "exit 3"]
    assert events["text/plain"] == "('RunStarted', 'RunEnded')"
    assert "exit_code" in frame["text/html"]
