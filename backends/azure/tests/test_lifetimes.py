"""A signed URL outlives the wait, the run and the upload, or the job is refused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchcore_azure import lifetimes

HOUR, DAY = 3600.0, 86400.0
TIMES = st.floats(1, 30 * DAY)


@given(st.floats(0, 2e9), TIMES, TIMES)
def test_it_is_valid_from_before_now_until_after_the_last_possible_use(
    now: float, queue: float, limit: float
):
    found = lifetimes.lifetime(now, queue, limit)
    assert found.start == now - 15 * 60
    assert found.expiry == now + (queue + limit + HOUR)
    assert found.seconds > queue + limit


@given(TIMES, TIMES)
def test_a_key_signs_for_any_time(queue: float, limit: float):
    assert lifetimes.fault(queue, limit, delegated=False) == ""


@given(TIMES, TIMES)
def test_a_delegation_is_refused_exactly_where_it_would_live_longer_than_a_week(
    queue: float, limit: float
):
    whole = lifetimes.needed(queue, limit) + lifetimes.EARLIER
    assert bool(lifetimes.fault(queue, limit, delegated=True)) == (whole > 7 * DAY)


def test_a_refusal_says_how_long_and_how_long_it_may_be():
    assert lifetimes.fault(DAY, 7 * DAY, delegated=True) == (
        "its signed URLs would have to live 193.2 h, and those of Entra ID live 168.0 h at most"
    )
