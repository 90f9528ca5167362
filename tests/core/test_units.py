"""Times and sizes as people write them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcore.units import seconds, show_bytes, show_seconds, size_in_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (90, 90.0),
        (0.5, 0.5),
        ("90", 90.0),
        ("90s", 90.0),
        ("90 sec", 90.0),
        ("30m", 1800.0),
        ("30 min", 1800.0),
        ("2h", 7200.0),
        ("1.5h", 5400.0),
        ("1d", 86400.0),
        (" 5 M ", 300.0),
    ],
    ids=repr,
)
def test_a_time_is_a_number_of_seconds_or_has_a_unit(text: float | str, expected: float) -> None:
    assert seconds(text, "timeout") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (1048576, 2**20),
        ("1", 1),
        ("10B", 10),
        ("1kB", 1000),
        ("1KiB", 1024),
        ("2MB", 2_000_000),
        ("2MiB", 2 * 2**20),
        ("2M", 2 * 2**20),
        ("1GB", 10**9),
        ("2G", 2 * 2**30),
        ("2GiB", 2 * 2**30),
        ("0.5 GiB", 2**29),
        ("1TiB", 2**40),
        ("1t", 2**40),
    ],
    ids=repr,
)
def test_a_size_is_a_number_of_bytes_or_has_a_unit(text: float | str, expected: int) -> None:
    assert size_in_bytes(text, "memory") == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "h",
        "5 parsecs",
        "-5",
        "1e3",
        "5m30s",
        None,
        True,
        [],
        0,
        -1,
        "0s",
        math.inf,
        math.nan,
        10**400,
        "9" * 400,
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_time_above_zero_is_refused(problems_of, value: object) -> None:
    (problem,) = problems_of(seconds, value, "tasks[1].timeout")
    assert (problem.code, problem.key) == ("BC2001", "tasks[1].timeout")


@pytest.mark.parametrize(
    "value",
    ["", "MiB", "5 acres", "-5", None, False, 0, "0.5", math.inf, math.nan, 2**63, 10**400],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_size_above_zero_is_refused(problems_of, value: object) -> None:
    (problem,) = problems_of(size_in_bytes, value, "requirements.memory")
    assert (problem.code, problem.key) == ("BC2001", "requirements.memory")


@given(st.integers(1, 2**53))
def test_a_whole_number_of_bytes_is_kept(count: int) -> None:
    assert size_in_bytes(count, "memory") == count
    assert size_in_bytes(str(count), "memory") == count


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**20, "1.0 MiB"), (2**41, "2048.0 GiB")],
)
def test_a_size_is_shown_for_people(count: int, shown: str) -> None:
    assert show_bytes(count) == shown


@pytest.mark.parametrize(
    ("duration", "shown"),
    [(-0.001, "0.0 s"), (0.34, "0.3 s"), (59, "59.0 s"), (240, "4 min"), (99000, "27.5 h")],
)
def test_a_duration_is_shown_for_people(duration: float, shown: str) -> None:
    assert show_seconds(duration) == shown
