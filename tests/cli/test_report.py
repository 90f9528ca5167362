"""The verb `report`: one page of a run, and the same as data beside it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchcore.history import read_history
from batchcore.run import Run
from batchcore.states import TaskState

Call = Callable[..., Any]
FAILS = "echo 'ValueError: negative size' >&2; exit 3"


@pytest.fixture
def place(here: Path) -> Callable[[str], Path]:
    """Return the directory of a run."""
    return lambda run: here / ".batchcore" / run


def test_the_page_and_its_data_go_into_the_run_directory(
    cli: Call, ran: Call, place: Callable[[str], Path]
) -> None:
    run = ran(a="echo hello > out.txt", b=FAILS)
    done = cli("report", run)
    assert (done.code, done.out) == (0, f".batchcore/{run}/report.html\n")
    page = (place(run) / "report.html").read_text()
    assert "ValueError: negative size" in page
    assert f"batchcore retry {run} --task b" in page
    with (place(run) / "trace.csv").open() as stream:
        assert [(row["task"], row["exit_code"]) for row in csv.DictReader(stream)] == [
            ("a", "0"),
            ("b", "3"),
        ]
    data = json.loads((place(run) / "report.json").read_text())
    assert (data["schema"], data["run"]) == ("batchcore.report/1", run)


def test_only_the_user_can_read_it(cli: Call, ran: Call, here: Path) -> None:
    cli("report", ran(), "--output", "page.html")
    modes = {path.stat().st_mode & 0o777 for path in here.glob("*.html")}
    assert modes == {0o600}


@pytest.mark.parametrize("output", ["there/page.html", "there"])
def test_output_names_the_file_or_its_directory(
    cli: Call, ran: Call, here: Path, output: str
) -> None:
    run = ran()
    (here / "there").mkdir()
    done = cli("report", run, "--output", output)
    assert (here / done.out.strip()).exists()
    assert {"trace.csv", "report.json"} < {path.name for path in (here / "there").iterdir()}


def test_json_prints_what_report_json_has_and_writes_nothing(
    cli: Call, ran: Call, tree: Callable[[], set[str]]
) -> None:
    run = ran(a="true", b=FAILS)
    before = tree()
    data = cli("report", run, "--json").data
    assert tree() == before
    assert data["counts"] == {"failed": 1, "succeeded": 1}
    assert data["logs"]["b"]["lines"] == ["ValueError: negative size"]


def test_json_with_an_output_does_both(cli: Call, ran: Call, here: Path) -> None:
    done = cli("report", ran(), "--json", "--output", "page.html")
    assert json.loads((here / "report.json").read_text()) == done.data


def test_a_report_replaces_a_report(cli: Call, ran: Call) -> None:
    run = ran()
    assert [cli("report", run).code for _ in range(2)] == [0, 0]


@pytest.mark.parametrize("name", ["page.html", "trace.csv", "report.json"])
def test_a_file_of_somebody_else_is_not_replaced(
    cli: Call, ran: Call, here: Path, tree: Callable[[], set[str]], name: str
) -> None:
    run = ran()
    (here / name).write_text("mine")
    before = tree()
    done = cli("report", run, "--output", "page.html")
    assert done.code == 2
    assert name in done.err
    assert (here / name).read_text() == "mine"
    assert tree() == before


def test_the_page_cannot_be_called_like_the_data(cli: Call, ran: Call) -> None:
    assert cli("report", ran(), "--output", "trace.csv").code == 2


def test_an_output_with_nothing_in_it_is_refused(cli: Call, ran: Call) -> None:
    assert cli("report", ran(), "--output", "").code == 2


def test_an_unknown_run_is_not_found(cli: Call) -> None:
    assert cli("report", "nothing").code == 5


def test_a_run_that_goes_on_is_reported_as_it_stands(
    cli: Call, job: Call, gate: Any, here: Path
) -> None:
    run = cli("submit", job(a=gate.passed, b="true")).out.strip()
    try:
        data = cli("report", run, "--json", "--output", "page.html").data
    finally:
        gate.open()
        assert cli("wait", run).code == 0
    assert data["state"] == "running"
    assert data["driven"]
    assert f"batchcore report {run}" in (here / "page.html").read_text()


def test_no_secret_gets_into_it(
    cli: Call, ran: Call, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_WORD", "correct horse")
    url = "https://store.example/x?sig=abcdef"
    told = "echo the word is $(cat $BATCHCORE_SECRETS_DIR/API_WORD)"
    shell = f"exec >&2; {told}; echo could not read '{url}'; exit 1"
    run = ran(more='secrets = ["API_WORD"]', a=shell)
    done = cli("report", run, "--json", "--output", "page.html")
    said = done.out + "".join(
        (here / name).read_text() for name in ("page.html", "report.json", "trace.csv")
    )
    assert "the word is ***" in said
    assert "correct horse" not in said
    assert "abcdef" not in said


def test_its_commands_name_the_run_by_its_whole_id(cli: Call, ran: Call) -> None:
    run = ran(a="exit 1")
    (group,) = cli("report", "demo", "--json").data["groups"]
    assert group["advice"][0]["command"] == f"batchcore logs {run} a"


def test_a_retry_is_told_with_what_it_cost(cli: Call, ran: Call) -> None:
    run = ran(more="retries = 1", a='test "$BATCHCORE_ATTEMPT" = 2')
    (task,) = cli("report", run, "--json").data["tasks"]
    assert [attempt["state"] for attempt in task["attempts"]] == ["failed", "succeeded"]
    assert task["retries"] == 1


def test_the_times_of_a_task_follow_one_another(cli: Call, ran: Call) -> None:
    run = Run.load(Path(".batchcore") / ran(a="sleep 0.1; echo 1 > out.txt"))
    history = read_history(run)
    (task,) = history.tasks
    (attempt,) = task.attempts
    assert history.staging is not None
    assert attempt.submitted_at is not None
    assert attempt.preparing_at is not None
    assert attempt.collected_at is not None
    # The clocks of a file system and of the driver may differ by a tick of the first.
    assert history.staging[0] <= history.staging[1] <= attempt.submitted_at
    assert attempt.submitted_at <= attempt.preparing_at <= attempt.collected_at
    assert (task.state, task.files, task.size) == (TaskState.SUCCEEDED, 1, 2)


def test_it_says_what_drove_the_run(cli: Call, ran: Call) -> None:
    import platform
    from importlib.metadata import version

    own = version("batchcore")
    assert cli("report", ran(), "--json").data["versions"] == {
        "batchcore": own,
        "backend": f"batchcore {own}",
        "python": platform.python_version(),
    }


def test_a_run_writes_its_own_report(cli: Call, ran: Call, here: Path) -> None:
    run = Run.load(here / ".batchcore" / ran())
    page = run.write_report(here)
    assert page == here / "report.html"
    assert run.id in page.read_text()
