"""Delays grow, stay below their cap, and never begin at once."""

from hypothesis import given
from hypothesis import strategies as st

from fedbus.core import backoff

jitters = st.floats(0, 1, exclude_max=True)


@given(st.integers(0, 10**6), jitters)
def test_a_delay_is_above_nothing_and_below_its_cap(attempt: int, jitter: float) -> None:
    assert 0 < backoff.delay(attempt, jitter) < 15.0


@given(st.integers(1, 100), jitters)
def test_a_later_attempt_never_waits_less_for_the_same_jitter(attempt: int, jitter: float) -> None:
    assert backoff.delay(attempt + 1, jitter) >= backoff.delay(attempt, jitter)


@given(st.integers(1, 30), jitters, jitters)
def test_jitter_spreads_a_crowd_over_three_quarters_of_the_delay(attempt: int, a: float, b: float) -> None:
    least, most = backoff.delay(attempt, 0.0), backoff.delay(attempt, 1.0)
    assert least == most / 4
    assert (backoff.delay(attempt, a) < backoff.delay(attempt, b)) <= (a < b)


def test_the_cap_of_the_caller_holds() -> None:
    assert backoff.delay(50, 0.999, cap=1.0) < 1.0
