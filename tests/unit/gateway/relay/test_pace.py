"""When a connection is read on the tick."""

import os

import pytest

from gateway.relay.pace import SAMPLE, TICK, TRUSTED, Pace, ReadTick
from tests.waiting import eventually


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
    pace = Pace()
    changes = [pace.read(size, number * interval) for number in range(SAMPLE)]
    assert pace.is_ticked is expected
    assert changes == [False] * (SAMPLE - 1) + [expected]


def test_after_a_while_it_is_looked_at_anew() -> None:
    pace = Pace()
    for number in range(SAMPLE):
        pace.read(1400, number * 0.0025)
    begun = (SAMPLE - 1) * 0.0025
    assert not any(pace.read(5600, begun + number * TICK) for number in range(1, 11))
    assert pace.is_ticked
    # By now the camera writes whole pictures.
    later = begun + TRUSTED
    changes = [pace.read(20_000, later + number * 0.04) for number in range(SAMPLE + 1)]
    assert changes[0]
    assert not any(changes[1:])
    assert not pace.is_ticked


async def test_the_tick_reads_whatever_has_something_until_it_is_left() -> None:
    tick = ReadTick()
    reader, writer = os.pipe()
    got: list[bytes] = []
    tick.add(reader, lambda: got.append(os.read(reader, 100)))
    os.write(writer, b"one")
    await eventually(lambda: got == [b"one"], what="the first round")
    os.write(writer, b"two")
    await eventually(lambda: got == [b"one", b"two"], what="the next round")
    tick.remove(reader)
    os.write(writer, b"three")
    tick.close()
    assert os.read(reader, 100) == b"three"
    os.close(reader)
    os.close(writer)
