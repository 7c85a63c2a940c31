"""Sets of half-open periods, against sets of whole seconds."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.model.period import Period, common, merged, total, without

START = datetime(2026, 11, 1, tzinfo=UTC)


def at(second: int) -> datetime:
    return START + timedelta(seconds=second)


def seconds(periods: list[Period]) -> set[int]:
    return {
        second
        for period in periods
        for second in range(
            int((period.start - START).total_seconds()), int((period.end - START).total_seconds())
        )
    }


periods = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 9)).map(lambda of: Period(at(of[0]), at(of[0] + of[1]))),
    max_size=6,
)


@given(periods, periods)
def test_union_intersection_and_rest_are_those_of_the_seconds(
    some: list[Period], others: list[Period]
) -> None:
    one, other = merged(some), merged(others)
    assert seconds(one) == seconds(some)
    assert seconds(common(one, other)) == seconds(some) & seconds(others)
    assert seconds(without(one, other)) == seconds(some) - seconds(others)
    assert total(one) == timedelta(seconds=len(seconds(some)))


@given(periods)
def test_a_union_is_in_order_and_nothing_in_it_touches(some: list[Period]) -> None:
    found = merged(some)
    assert all(before.end < after.start for before, after in itertools.pairwise(found))


def test_a_period_ends_after_its_start() -> None:
    for end in (at(0), at(-1)):
        with pytest.raises(ValueError, match="ends after its start"):
            Period(at(0), end)
