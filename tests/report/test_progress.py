"""How a run goes, counted from its events and put into a few lines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchcore.events import RunStarted, TaskChanged
from batchcore.report.progress import Tally, View, pace_text, view_lines
from batchcore.report.text import ASCII, UNICODE, printable
from batchcore.states import FailureReason, TaskState


def started(tasks: int, at: float = 100.0) -> RunStarted:
    return RunStarted(
        at=at,
        run_id="demo-1",
        backend="memory",
        tasks=tasks,
        already_succeeded=0,
        resumed=False,
        counts={TaskState.PENDING: tasks},
    )


def changed(task_id: str, new: TaskState, at: float, detail: str = "") -> TaskChanged:
    reason = FailureReason.EXIT_CODE if new is TaskState.FAILED else None
    return TaskChanged(
        at=at,
        task_id=task_id,
        attempt=1,
        old=TaskState.PENDING,
        new=new,
        reason=reason,
        exit_code=3 if reason else None,
        detail=detail,
    )


def view(tasks: int, *changes: TaskChanged) -> View:
    tally = Tally()
    for event in (started(tasks), *changes):
        tally.add(event)
    return tally.view()


def ends(count: int, each: float, state: TaskState = TaskState.SUCCEEDED) -> list[TaskChanged]:
    return [changed(f"t{n}", state, 100.0 + each * (n + 1)) for n in range(count)]


def lines(found: View, now: float, width: int = 100) -> list[str]:
    return list(view_lines(found, now, "demo-1", width, UNICODE))


def test_the_rate_is_ends_in_the_time_since_the_start() -> None:
    assert pace_text(view(30, *ends(10, 0.5)), 105.0, UNICODE) == "2.0 tasks/s · about 10 s left"


def test_a_slow_run_is_told_by_the_minute_and_by_the_hour() -> None:
    assert pace_text(view(4, *ends(2, 30)), 160.0, ASCII) == "2 tasks/min - about 1 min left"
    assert pace_text(view(4, *ends(2, 1800)), 3700.0, ASCII) == "2 tasks/h - about 60 min left"


def test_the_guess_grows_while_nothing_ends() -> None:
    found = view(30, *ends(10, 0.5))
    assert (found.seconds_left(105.0), found.seconds_left(110.0)) == (10.0, 20.0)


def test_only_the_last_ends_count() -> None:
    slow = [changed(f"s{n}", TaskState.SUCCEEDED, 100.0 + 10 * n) for n in range(1, 101)]
    fast = [changed(f"f{n}", TaskState.SUCCEEDED, 1100.0 + n / 100) for n in range(1, 402)]
    rate = view(1000, *slow, *fast).rate(1104.01)
    assert rate is not None
    assert 99 < rate < 101


def test_one_end_is_no_rate() -> None:
    assert pace_text(view(2, *ends(1, 5)), 105.0, UNICODE) == ""


def test_what_had_ended_before_anybody_looked_is_no_rate() -> None:
    before = [changed(f"t{n}", TaskState.SUCCEEDED, 100.0) for n in range(50)]
    found = view(100, *before)
    assert (found.done, found.rate(101.0)) == (50, None)


def test_a_run_that_is_over_has_nothing_left() -> None:
    assert pace_text(view(10, *ends(10, 1)), 111.0, UNICODE) == ""


def test_the_last_failures_come_with_the_command_that_looks_at_the_newest() -> None:
    shown = lines(view(9, *ends(5, 1, TaskState.FAILED)), 106.0)
    assert [line.split()[1] for line in shown[2:5]] == ["t4", "t3", "t2"]
    assert shown[5:] == [
        "  look: batchcore logs demo-1 t4   2 more: batchcore status demo-1 --failed"
    ]


def test_very_many_tasks_have_the_same_few_lines() -> None:
    events = ends(9000, 0.01) + [
        changed(f"f{n}", TaskState.FAILED, 190.0 + n / 100, "x" * 500) for n in range(900)
    ]
    shown = lines(view(10_000, *events), 200.0)
    assert "9,900/10,000  900 failed  100 pending" in shown[0]
    assert len(shown) == 6


@given(
    width=st.integers(min_value=10, max_value=200),
    detail=st.text(max_size=300),
    failed=st.integers(min_value=0, max_value=5),
)
def test_no_line_is_longer_than_the_terminal(width: int, detail: str, failed: int) -> None:
    events = [changed(f"t{n}", TaskState.FAILED, 101.0 + n, detail) for n in range(failed)]
    shown = lines(view(1000, *events, *ends(3, 1)), 110.0, width)
    assert all(len(line) <= width for line in shown)
    assert [printable(line) for line in shown] == shown
    assert len(shown) <= 6
