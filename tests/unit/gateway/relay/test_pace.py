"""When a connection is read on the tick."""

import pytest

from gateway.relay.pace import SAMPLE, TICK, TRUSTED, Pace, ReadTick
from tests.waiting import eventually


class Rests:
    """Counts how often a connection was told to rest."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.mark.parametrize(
    ("size", "interval", "expected"),
    [
        pytest.param(1400, 0.0025, True, id="a packet a send, 400 a second"),
        pytest.param(20_000, 0.04, False, id="a picture a send"),
        pytest.param(20_000, 0.001, False, id="large reads, however many"),
        pytest.param(700, 0.1, False, id="small and seldom"),
    ],
)
def test_only_who_sends_many_small_pieces_is_read_on_the_tick(
    size: int, interval: float, expected: bool
) -> None:
    pace = Pace(Rests())
    for number in range(SAMPLE):
        pace.read(size, number * interval)
    assert pace.is_resting is expected


def test_a_resting_connection_rests_after_each_read_and_is_looked_at_anew_after_a_while() -> None:
    rests = Rests()
    pace = Pace(rests)
    for number in range(SAMPLE):
        pace.read(1400, number * 0.0025)
    begun = (SAMPLE - 1) * 0.0025
    assert rests.count == 0
    for number in range(1, 11):
        pace.read(5600, begun + number * TICK)
    assert rests.count == 10
    # By now the camera writes whole pictures.
    later = begun + TRUSTED
    for number in range(SAMPLE):
        pace.read(20_000, later + number * 0.04)
    assert not pace.is_resting
    assert rests.count == 10


class Transport:
    """Notes whether it is read."""

    def __init__(self) -> None:
        self.is_read = True
        self.is_closed = False

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        assert not self.is_closed
        self.is_read = True

    def is_closing(self) -> bool:
        return self.is_closed


async def test_all_who_rest_read_again_in_the_next_round_but_for_those_that_are_gone() -> None:
    tick = ReadTick()
    one, two, gone = Transport(), Transport(), Transport()
    for transport in (one, two, gone):
        tick.rest(transport)
    gone.is_closed = True
    assert [one.is_read, two.is_read] == [False, False]
    await eventually(lambda: one.is_read and two.is_read, what="the round")
    assert not gone.is_read


async def test_a_tick_that_ends_leaves_nobody_resting() -> None:
    tick, one = ReadTick(), Transport()
    tick.rest(one)
    tick.close()
    assert one.is_read
