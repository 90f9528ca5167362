"""What the charts of the report show, as numbers."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcore.history import AttemptHistory
from batchcore.report.html import words
from batchcore.report.html.buckets import histogram, occupancy, quantile, ticks
from batchcore.report.html.spans import PHASES, _spans, natural
from batchcore.states import TaskState

TIMES = st.floats(min_value=0, max_value=1000)
MAYBE = st.none() | TIMES


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0 s"),
        (0.0123, "12 ms"),
        (0.9999, "1.0 s"),
        (2.14, "2.1 s"),
        (9.99, "10 s"),
        (59.7, "1 min"),
        (250, "4 min 10 s"),
        (3599.6, "1 h"),
        (11_100, "3 h 5 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_a_duration_is_written_in_at_most_two_units(seconds: float | None, text: str) -> None:
    assert words.duration(seconds) == text


@given(st.lists(st.floats(min_value=0, max_value=1e7), min_size=1))
def test_every_value_is_in_one_bucket(values: list[float]) -> None:
    buckets = histogram(values)
    assert sum(bucket.count for bucket in buckets) == len(values)
    assert buckets[0].low == min(values)
    assert buckets[-1].high == max(values)
    assert all(one.high == other.low for one, other in itertools.pairwise(buckets))


def test_buckets_grow_where_a_few_values_are_far_above_the_others() -> None:
    buckets = histogram([*range(1, 100), 1_000_000])
    assert sum(bucket.count > 0 for bucket in buckets) > 3


def test_no_values_have_no_buckets() -> None:
    assert histogram([]) == []


def test_a_quantile_is_one_of_the_values() -> None:
    ordered = [1.0, 2.0, 3.0, 10.0]
    assert [quantile(ordered, part) for part in (0.0, 0.5, 0.95, 1.0)] == [1, 2, 10, 10]


@given(st.lists(st.tuples(TIMES, TIMES)), st.integers(min_value=1, max_value=50))
def test_what_is_in_the_parts_of_a_time_is_what_is_in_the_time(
    spans: list[tuple[float, float]], count: int
) -> None:
    found = occupancy(spans, 100, 900, count)
    clipped = sum(max(0, min(end, 900) - max(begin, 100)) for begin, end in spans)
    assert sum(found) * 800 / count == pytest.approx(clipped, abs=1e-6)
    assert min(found) >= -1e-9


@given(st.floats(min_value=0.001, max_value=1e8))
def test_marks_on_the_axis_are_few_and_round(seconds: float) -> None:
    marks = ticks(seconds)
    assert 1 <= len(marks) <= 7
    assert marks[-1] <= seconds


@given(st.sampled_from(TaskState), MAYBE, MAYBE, MAYBE, MAYBE, MAYBE, st.floats(1000, 2000))
def test_phases_follow_one_another_whatever_the_clocks_said(
    state: TaskState,
    submitted: float | None,
    preparing: float | None,
    started: float | None,
    ended: float | None,
    collected: float | None,
    now: float,
) -> None:
    attempt = AttemptHistory(
        attempt=1,
        state=state,
        submitted_at=submitted,
        preparing_at=preparing,
        started_at=started,
        ended_at=ended,
        collected_at=collected,
    )
    spans = list(_spans(attempt, now))
    assert [span.phase for span in spans] == sorted(
        (span.phase for span in spans), key=PHASES.index
    )
    assert all(span.begin <= span.end for span in spans)


def test_nodes_are_in_the_order_in_which_people_count() -> None:
    names = ["local-10", "local-9", "local-1", "9", "node"]
    assert sorted(names, key=natural) == ["9", "local-1", "local-9", "local-10", "node"]


@given(st.lists(st.text()))
def test_any_names_can_be_ordered(names: list[str]) -> None:
    assert len(sorted(names, key=natural)) == len(names)
