"""Wall time under a system clock that is pushed about."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.steady_time import SteadyTime
from tests.clock import HandClock

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_it_follows_the_system_clock_while_nothing_is_stepped() -> None:
    clock = HandClock(NOON)
    time = SteadyTime(clock)
    clock.advance(90)

    assert time.now() == NOON + timedelta(seconds=90)


def test_e6_after_a_step_back_it_goes_on_at_half_speed_until_the_system_clock_caught_up() -> None:
    clock = HandClock(NOON)
    time = SteadyTime(clock)
    clock.step(-30)
    first = time.now()
    clock.advance(30)
    second = time.now()
    clock.advance(60)

    assert first == NOON
    assert second == NOON + timedelta(seconds=15)
    assert time.now() == clock.now()


def test_a_step_forward_is_followed_at_once() -> None:
    clock = HandClock(NOON)
    time = SteadyTime(clock)
    clock.step(3600)

    assert time.now() == NOON + timedelta(hours=1)


def test_it_never_begins_before_what_the_catalog_already_holds() -> None:
    clock = HandClock(NOON)
    later = NOON + timedelta(minutes=5)

    assert SteadyTime(clock, not_before=later).now() == later


def test_a_past_instant_is_counted_back_on_the_monotonic_clock() -> None:
    clock = HandClock(NOON)
    time = SteadyTime(clock)
    clock.advance(100)
    clock.step(-3600)

    assert time.now() - time.at(clock.monotonic() - 40) == timedelta(seconds=40)


def test_a_step_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = HandClock(NOON)
    time = SteadyTime(clock)
    clock.step(-3600)
    time.now()
    clock.advance(10)
    time.now()

    assert [record.__dict__["action"] for record in caplog.records] == ["clock_step"]


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(-10_000, 10_000)), max_size=50))
def test_it_never_runs_backwards(script: list[tuple[float, float]]) -> None:
    clock = HandClock(NOON)
    time = SteadyTime(clock)
    told = [time.now()]
    for pause, step in script:
        clock.advance(pause)
        clock.step(step)
        told.append(time.now())

    assert all(earlier <= later for earlier, later in pairwise(told))
