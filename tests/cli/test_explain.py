"""The verb `explain`: why tasks failed or wait, in plain words, and what to type next."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batchcore.cli.root import VERBS
from batchcore.record import Record
from batchcore.record.database import TaskRow
from batchcore.states import FailureReason, TaskState
from batchcore.testing.clock import FakeClock

Call = Callable[..., Any]


def groups(cli: Call, *words: str, **given: Any) -> dict[str, Any]:
    """Return the groups of an explanation by their first tasks."""
    done = cli("explain", *words, "--json", **given)
    assert done.code == 0, done.err
    assert done.data["schema"] == "batchcore.explain/1"
    return {group["tasks"][0]: group for group in done.data["groups"]}


def commands(group: dict[str, Any]) -> list[str]:
    return [advice["command"] for advice in group["advice"] if advice["command"]]


def test_a_failure_is_told_with_its_attempts_budgets_and_log(cli: Call, ran: Call) -> None:
    shell = "for n in 1 2 3 4 5 6 7 8 9 10 11 12; do echo line $n >&2; done; exit 3"
    run = ran(more="retries = 1", a=shell)
    done = cli("explain", run)
    first, *lines = done.out.splitlines()[1:]
    assert first == "✗ a: the command ended with exit code 3"
    assert lines[0] == "    line 12"
    assert lines[1] == "    retries 1 of 1 used, interruptions 0 of 5 used"
    assert re.match(r"    attempt 1: exit 3 after .* line 12", lines[2])
    assert re.match(r"    attempt 2: exit 3 after [^l]*  on local-", lines[3])
    assert lines[4] == "    last lines of stderr:"
    assert lines[5:15] == [f"      | line {n}" for n in range(3, 13)]
    assert lines[15:] == [
        f"    next: read all that it wrote:  batchcore logs {run} a",
        f"    next: run it again once the cause is mended:  batchcore retry {run} --task a",
    ]


def test_a_log_on_stdout_is_shown_where_stderr_is_empty(cli: Call, ran: Call) -> None:
    log = groups(cli, ran(a="echo only here; exit 1"))["a"]["log"]
    assert log == {"attempt": 1, "stream": "stdout", "lines": ["only here"]}


def test_what_a_task_wrote_cannot_act_on_the_terminal(cli: Call, ran: Call) -> None:
    done = cli("explain", ran(a=r"printf '\033[31mred\n' >&2; exit 1"))
    assert "\x1b" not in done.out
    assert r"| \x1b[31mred" in done.out


def test_tasks_with_the_same_cause_are_one_group(cli: Call, ran: Call) -> None:
    run = ran(a="exit 2", b="exit 2", c="exit 4", ok="true")
    done = cli("explain", run)
    assert "✗ 2 tasks: the command ended with exit code 2; first: a" in done.out
    assert "✗ c: the command ended with exit code 4" in done.out
    assert groups(cli, run)["a"]["tasks"] == ["a", "b"]


def test_the_advice_to_retry_chooses_the_tasks_of_its_group_alone(cli: Call, ran: Call) -> None:
    run = ran(a="exit 2", b="exit 2", c="exit 4")
    assert f"batchcore retry {run} --task a --task b\n" in cli("explain", run).out
    other = ran("other", a="exit 2", b="exit 2", c="true")
    assert f"batchcore retry {other} --reason exit_code\n" in cli("explain", other).out


def test_a_group_too_large_to_name_says_what_goes_along(cli: Call, ran: Call) -> None:
    run = ran(**{f"t{n}": "exit 2" for n in range(9)}, z="exit 4")
    (line,) = [line for line in cli("explain", run).out.splitlines() if "--reason" in line]
    assert "with all 10 that ended with that reason" in line


def test_a_wrong_value_in_the_record_is_damage_and_no_bug(cli: Call, ran: Call, here: Path) -> None:
    run = ran(a="exit 1")
    with closing(sqlite3.connect(here / ".batchcore" / run / "run.db")) as database, database:
        database.execute("UPDATE attempts SET exit_code = 'one'")
    done = cli("explain", run)
    assert done.code == 7
    assert "run.db is damaged" in done.err


def test_failures_come_before_what_they_blocked(cli: Call, ran: Call) -> None:
    after = "".join(
        f'[[tasks]]\nid = "{task}"\nshell = "true"\ndepends_on = ["{cause}"]\n'
        for task, cause in (("c", "b"), ("b", "a"))
    )
    run = ran(more=after, a="exit 1")
    found = groups(cli, run)
    assert list(found) == ["a", "c"]
    assert found["c"]["tasks"] == ["c", "b"]
    assert found["c"]["cause"].startswith("it never started")
    assert found["c"]["facts"] == ["it waits for 'a', which failed"]
    assert commands(found["c"]) == [f"batchcore explain {run} a"]


CAUSES = {
    "timeout": ("sleep 60", 'timeout = "0.2s"', "it was stopped at its time limit", "`timeout`"),
    "missing": ("true", 'outputs = ["x.csv"]', "an output was not written", "`outputs`"),
    "signal": ("kill -9 $$", "", "exit code 137 (SIGKILL)", "batchcore logs"),
}


@pytest.mark.parametrize(("shell", "field", "cause", "advice"), CAUSES.values(), ids=CAUSES)
def test_a_reason_is_told_in_plain_words_with_what_to_do(
    cli: Call, here: Path, shell: str, field: str, cause: str, advice: str
) -> None:
    task = f'[[tasks]]\nid = "a"\nshell = "{shell}"\n{field}\n'
    (here / "job.toml").write_text(f'name = "demo"\n{task}')
    cli("run", "job.toml")
    done = cli("explain", "demo")
    assert cause in done.out
    assert any(advice in line for line in done.out.splitlines() if "next: " in line)


def test_one_task_is_explained_alone(cli: Call, ran: Call) -> None:
    assert list(groups(cli, ran(a="exit 2", b="exit 2"), "b")) == ["b"]


def test_a_success_needs_no_explanation(cli: Call, ran: Call) -> None:
    run = ran(a="true", b="exit 1")
    assert cli("explain", run, "a").err == "nothing to explain: a has succeeded\n"
    assert cli("explain", ran("other", a="true")).err == (
        "nothing to explain: all tasks have succeeded\n"
    )


def test_an_unknown_task_exits_5_with_the_nearest(cli: Call, ran: Call) -> None:
    done = cli("explain", ran(seed="exit 1"), "sed")
    assert done.code == 5
    assert 'did you mean "seed"?' in done.err


def test_every_command_that_is_named_exists(cli: Call, ran: Call) -> None:
    out = cli("explain", ran(a="exit 1", b="true")).out
    assert set(re.findall(r"batchcore (\w+)", out)) <= set(VERBS)


def test_a_run_that_was_found_in_another_place_is_named_by_its_directory(
    cli: Call, job: Call, here: Path
) -> None:
    run = cli("run", job(a="exit 1"), "--runs", "elsewhere", "--json").data["run"]
    found = groups(cli, run, "--runs", "elsewhere")
    assert commands(found["a"])[0] == f"batchcore logs {here}/elsewhere/{run} a"


@pytest.fixture
def running(here: Path, job: Call, gate: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that drives `a`, for which `after` waits; `b` has no place beside it."""
    after = '[[tasks]]\nid = "after"\nshell = "true"\ndepends_on = ["a"]'
    file = job(more=after, a=gate.passed, b="true")
    line = [sys.executable, "-m", "batchcore", "run", file, "-v", "--max-parallel", "1"]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as driver:
        assert driver.stderr is not None
        next(line for line in driver.stderr if "running" in line)
        yield driver
        gate.open()


def test_what_waits_says_for_what(cli: Call, running: Any) -> None:
    found = groups(cli, "demo")
    assert {task: group["cause"] for task, group in found.items()} == {
        "after": "it waits for another task, which is running",
        "a": "it is running on local-process",
        "b": "it waits for a place: max_parallel lets 1 run at once",
    }
    assert found["after"]["facts"] == ["it waits for 'a'"]
    assert cli("explain", "demo", "--json").data["driven"] is True


def test_a_run_without_a_driver_says_how_to_go_on(cli: Call, running: Any) -> None:
    running.kill()
    running.wait()
    done = cli("explain", "demo")
    assert "note: no process drives this run; go on with:  batchcore wait demo" in done.out
    assert "b: it has not been started" in done.out


@pytest.fixture
def recorded(ran: Call, here: Path) -> Callable[..., str]:
    """Write into the record of a run how its one task is."""

    def write(*ends: TaskRow, **fields: Any) -> str:
        run = ran(more="retries = 2", a="exit 1")
        record = Record.resume(here / ".batchcore" / run)
        try:
            for end in ends:
                record.save_attempt(end)
            record.save([TaskRow(position=0, id="a", **fields)])
        finally:
            record.close()
        return str(run)

    return write


LOST = TaskRow(
    position=0,
    id="a",
    state=TaskState.FAILED,
    attempt=3,
    reason=FailureReason.NODE_LOST,
    ended_at=1000.0,
)


def test_a_retry_says_until_when_it_waits_and_what_pays_for_it(cli: Call, recorded: Call) -> None:
    run = recorded(LOST, state=TaskState.QUEUED, attempt=4, interruptions=2)
    found = groups(cli, run, clock=FakeClock(1001.0))["a"]
    assert found["cause"] == (
        "it waits to be tried again after attempt 3, which ended with node_lost"
    )
    assert found["facts"] == [
        "attempt 4 starts in 3.0 s at the latest",
        "paid from retries 0 of 2 used, interruptions 2 of 5 used",
    ]


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        (TaskState.QUEUED, "it is queued on local-process"),
        (TaskState.PREPARING, "it is being made ready on local-process: its image, its files"),
        (TaskState.FINALIZING, "it has ended, and its outputs are being collected"),
        (TaskState.UNKNOWN, "local-process does not say how it is"),
    ],
)
def test_what_the_backend_last_said_is_told(
    cli: Call, recorded: Call, state: TaskState, cause: str
) -> None:
    run = recorded(state=state, attempt=3, submitted_at=1000.0, detail="pulling", canceling=True)
    found = groups(cli, run, clock=FakeClock(1060.0))["a"]
    assert found["cause"] == cause
    asked, detail, submitted = found["facts"]
    assert (asked, detail) == ("somebody has asked for it to stop", "pulling")
    assert submitted.endswith(", 1 min ago")


@pytest.mark.parametrize("reason", FailureReason)
def test_every_reason_has_words_of_its_own_and_a_next_command(
    cli: Call, recorded: Call, reason: FailureReason
) -> None:
    run = recorded(state=TaskState.FAILED, attempt=1, reason=reason)
    (group,) = groups(cli, run).values()
    assert group["cause"] != "it failed"
    assert group["advice"]
    assert all(re.match("batchcore (logs|retry) ", command) for command in commands(group))


def test_canceled_tasks_say_how_to_run_them(cli: Call, job: Call) -> None:
    cli("run", job(a="exit 1", b="true", c="true"), "--max-parallel", "1", "--fail-fast")
    found = groups(cli, "demo")["b"]
    assert (found["cause"], found["tasks"]) == ("it was canceled", ["b", "c"])
    assert found["facts"] == ["not started: an earlier task failed"]
    assert commands(found) == ["batchcore retry demo --reason canceled"]


def test_a_backend_that_cannot_be_asked_is_a_note(
    cli: Call, recorded: Call, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = recorded(state=TaskState.RUNNING, attempt=3, submitted_at=1000.0, started_at=1000.0)
    monkeypatch.setenv("BATCHCORE_LOCAL_PROCESS_SLOTS", "many")
    done = cli("explain", str(here / ".batchcore" / run))
    assert done.code == 0
    assert "note: the backend could not be asked: " in done.out
    assert "a: it is running on local-process" in done.out


def test_the_explanation_is_plain_data(cli: Call, ran: Call) -> None:
    data = json.loads(cli("explain", ran(a="exit 1"), "--json").out)
    assert (data["state"], data["counts"], data["driven"]) == ("failed", {"failed": 1}, False)
    (attempt,) = data["groups"][0]["attempts"]
    assert (attempt["attempt"], attempt["reason"], attempt["exit_code"]) == (1, "exit_code", 1)
