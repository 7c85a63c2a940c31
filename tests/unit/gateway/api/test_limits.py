import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.limits import FailureLimit, RateLimit


def test_a_burst_is_let_through_and_then_the_rate() -> None:
    limit = RateLimit(2, 3)

    assert [limit.wait_for("a", 0.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert limit.wait_for("a", 0.0) == pytest.approx(0.5)
    assert limit.wait_for("a", 0.5) == 0.0


def test_one_caller_never_slows_another() -> None:
    limit = RateLimit(1, 1)
    limit.wait_for("a", 0.0)

    assert limit.wait_for("a", 0.0) > 0
    assert limit.wait_for("b", 0.0) == 0.0


def test_callers_remembered_are_bounded() -> None:
    limit = RateLimit(1, 1, most_keys=2)
    for key in ("a", "b", "c"):
        limit.wait_for(key, 0.0)

    assert limit.wait_for("a", 0.0) == 0.0
    assert limit.wait_for("c", 0.0) > 0


@given(st.lists(st.floats(0, 10), max_size=60))
def test_no_more_than_burst_and_rate_ever_pass(gaps: list[float]) -> None:
    limit, now, passed = RateLimit(2, 5), 0.0, 0
    for gap in gaps:
        now += gap
        passed += limit.wait_for("a", now) == 0.0

    assert passed <= 5 + 2 * now + 1e-6


def test_failures_are_refused_until_the_oldest_is_a_window_old() -> None:
    limit = FailureLimit(most=2, window=60)
    limit.failed("a", 0.0)
    assert limit.wait_for("a", 1.0) == 0.0
    limit.failed("a", 10.0)

    assert limit.wait_for("a", 20.0) == pytest.approx(40.0)
    assert limit.wait_for("b", 20.0) == 0.0
    assert limit.wait_for("a", 60.0) == 0.0
