"""One person at a time steers a camera, and nothing goes on moving by itself."""

import pytest

from gateway.onvif.steering import HOLD, LONGEST_MOVE, MAX_STEERED, Steered, Steering, TooManySteered


def test_the_first_has_it_until_they_let_go() -> None:
    steering = Steering()
    assert steering.take(7, "王", now=0.0)
    with pytest.raises(Steered) as refused:
        steering.take(7, "李", now=HOLD - 1)
    assert (refused.value.person, refused.value.wait) == ("王", 1.0)
    assert steering.take(8, "李", now=HOLD - 1)
    assert steering.take(7, "李", now=HOLD)


def test_whoever_goes_on_keeps_it() -> None:
    steering = Steering()
    assert steering.take(7, "王", now=0.0)
    for second in range(1, 20):
        assert not steering.take(7, "王", now=float(second))
    with pytest.raises(Steered):
        steering.take(7, "李", now=20.0)


def test_a_movement_ends_when_nobody_repeats_it() -> None:
    steering = Steering()
    steering.take(7, "王", now=0.0)
    steering.moves(7, 2.0, now=0.0)
    assert steering.next_stop() == 2.0
    assert steering.due(1.9) == []
    steering.take(7, "王", now=1.0)
    steering.moves(7, 2.0, now=1.0)
    assert steering.due(2.5) == []
    assert steering.due(3.0) == [7]
    steering.stopped(7)
    assert (steering.due(99.0), steering.next_stop(), steering.is_moving(7)) == ([], None, False)


def test_no_movement_is_longer_than_the_bound() -> None:
    steering = Steering()
    steering.take(7, "王", now=0.0)
    steering.moves(7, 1e9, now=0.0)
    assert steering.next_stop() == LONGEST_MOVE


def test_a_moving_camera_is_not_taken_over_before_it_was_stopped() -> None:
    steering = Steering()
    steering.take(7, "王", now=0.0)
    steering.moves(7, 10.0, now=0.0)
    with pytest.raises(Steered):
        steering.take(7, "李", now=10.0)
    steering.stopped(7)
    assert steering.take(7, "李", now=10.0)


def test_so_many_cameras_at_once_and_no_more() -> None:
    steering = Steering()
    for number in range(MAX_STEERED):
        steering.take(number, "王", now=0.0)
    with pytest.raises(TooManySteered):
        steering.take(MAX_STEERED, "王", now=1.0)
    assert steering.take(MAX_STEERED, "王", now=HOLD)
