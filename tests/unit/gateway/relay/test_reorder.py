"""The reordering window and the pinned SSRC, with time moved by hand."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.relay.reception import WINDOW, Reception
from gateway.relay.reorder import (
    DEPTH,
    PATIENCE,
    TAKEOVER_PACKETS,
    TAKEOVER_SILENCE,
    ReorderWindow,
    SsrcPin,
)

firsts = st.integers(0, 65535)


class Bench:
    """A window that has passed packet 0 on; packets are named by how far behind `first` they are."""

    def __init__(self, first: int = 65500) -> None:
        self.first = first
        self.reception = Reception()
        self.window = ReorderWindow(self.reception)
        self.passed: list[int] = []
        self.receive(0)

    def receive(self, number: int, at: float = 0.0) -> None:
        packet = number.to_bytes(4, "big")
        self._note(self.window.receive((self.first + number) & 0xFFFF, packet, at))

    def expire(self, now: float) -> None:
        self._note(self.window.expire(now))

    def _note(self, packets: list[bytes]) -> None:
        self.passed += [int.from_bytes(packet, "big") for packet in packets]

    def counts(self) -> tuple[int, int, int, int, int]:
        reception = self.reception
        return (
            reception.passed,
            reception.lost,
            reception.late,
            reception.reordered,
            reception.duplicates,
        )


def within_window(count: int, seed: int, most: int) -> list[int]:
    """Return 1 to `count`, none of them more than `most` places late."""
    rng = random.Random(seed)
    return sorted(range(1, count + 1), key=lambda number: number + rng.uniform(0, most))


@given(firsts, st.integers(1, 300), st.integers(0, 2**32), st.integers(1, DEPTH))
def test_any_order_within_the_window_comes_out_in_order_and_whole(
    first: int, count: int, seed: int, most: int
) -> None:
    bench = Bench(first)
    for number in within_window(count, seed, most):
        bench.receive(number)
    assert bench.passed == list(range(count + 1))
    assert bench.counts()[:3] == (count + 1, 0, 0)


@given(firsts, st.lists(st.integers(1, 200), max_size=300), st.data())
def test_nothing_comes_out_twice_or_out_of_order_and_memory_is_bounded(
    first: int, numbers: list[int], data: st.DataObject
) -> None:
    bench = Bench(first)
    now = 0.0
    for number in numbers:
        now += data.draw(st.sampled_from([0.0, 0.001, 0.01]))
        bench.receive(number, now)
        bench.expire(now)
        assert len(bench.window.held) <= DEPTH
        assert len(bench.window._given_up) <= 256
    bench.expire(now + 2 * PATIENCE)
    assert bench.passed == sorted(set(bench.passed))
    assert not bench.window.held


@given(firsts, st.lists(st.tuples(st.booleans(), st.integers(0, 30)), min_size=1, max_size=200))
def test_what_is_missing_is_counted_and_everything_else_arrives(
    first: int, fate: list[tuple[bool, int]]
) -> None:
    bench = Bench(first)
    sent = [number for number, (comes, _) in enumerate(fate, 1) if comes]
    arriving = sorted(sent, key=lambda number: number + fate[number - 1][1])
    for number in arriving:
        bench.receive(number)
    bench.expire(PATIENCE)
    assert bench.passed == [0, *sent]
    missing = [
        number for number, (comes, _) in enumerate(fate, 1) if not comes and number < max(sent, default=0)
    ]
    assert bench.counts()[:3] == (1 + len(sent), len(missing), 0)


def test_a_gap_is_passed_on_after_the_wait_and_not_before() -> None:
    bench = Bench()
    bench.receive(2, 1.0)
    bench.receive(3, 1.02)
    bench.expire(1.0 + PATIENCE - 0.001)
    assert bench.passed == [0]
    bench.expire(1.0 + PATIENCE)
    assert bench.passed == [0, 2, 3]
    bench.receive(1, 1.04)
    assert bench.passed == [0, 2, 3]
    assert bench.counts() == (3, 1, 1, 0, 0)


def test_a_second_gap_waits_its_own_time() -> None:
    bench = Bench()
    bench.receive(2, 1.0)
    bench.receive(4, 1.02)
    bench.expire(1.0 + PATIENCE)
    assert bench.passed == [0, 2]
    bench.expire(1.02 + PATIENCE)
    assert bench.passed == [0, 2, 4]


def test_a_full_window_gives_the_gap_up_at_once() -> None:
    bench = Bench()
    for number in range(2, DEPTH + 2):
        bench.receive(number)
    assert bench.passed == [0]
    bench.receive(DEPTH + 2)
    assert bench.passed == [0, *range(2, DEPTH + 3)]
    assert bench.counts() == (DEPTH + 2, 1, 0, 0, 0)


def test_a_packet_that_came_behind_a_later_one_is_counted_once() -> None:
    bench = Bench()
    for number in (3, 2, 1, 4):
        bench.receive(number)
    assert bench.passed == [0, 1, 2, 3, 4]
    assert bench.counts() == (5, 0, 0, 2, 0)


@pytest.mark.parametrize("numbers", [(1, 1), (1, 2, 1), (2, 2, 1)])
def test_a_packet_that_came_twice_is_dropped(numbers: tuple[int, ...]) -> None:
    bench = Bench()
    for number in numbers:
        bench.receive(number)
    assert bench.passed == list(range(max(numbers) + 1))
    assert bench.reception.duplicates == 1


@pytest.mark.parametrize("far", [DEPTH + 2, 500, 30_000, -1000, -20_000])
def test_a_stray_from_far_away_changes_nothing(far: int) -> None:
    bench = Bench(first=30_500)
    bench.window.receive((30_500 + far) & 0xFFFF, b"stray", 0.0)
    for number in (1, 2, 3):
        bench.receive(number)
    assert bench.passed == [0, 1, 2, 3]
    assert bench.counts() == (4, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("jump", "lost", "restarts"), [(1000, 999, 0), (3001, 3000, 0), (3002, 0, 1), (60_000, 0, 1)]
)
def test_two_packets_far_away_are_loss_or_a_restart(jump: int, lost: int, restarts: int) -> None:
    bench = Bench()
    # In whatever order the two come.
    bench.receive(jump + 1)
    bench.receive(jump)
    bench.receive(jump + 2)
    assert bench.passed == [0, jump, jump + 1, jump + 2]
    assert (bench.reception.lost, bench.reception.restarts) == (lost, restarts)


def test_what_was_held_goes_out_before_a_jump() -> None:
    bench = Bench()
    for number in (2, 1000, 1001):
        bench.receive(number)
    assert bench.passed == [0, 2, 1000, 1001]
    assert bench.reception.lost == 1 + 997


def test_the_first_ssrc_is_pinned_and_another_is_foreign_while_it_speaks() -> None:
    pin = SsrcPin(None, 0.0)
    assert pin.admits(7, 1, "there", 10.0)
    pin.last_at = 10.0
    for number in range(100):
        assert not pin.admits(8, number, "there", 10.0 + number / 100)
    assert pin.ssrc == 7


def test_an_ssrc_that_fell_silent_is_replaced_by_one_that_goes_on_from_the_same_port() -> None:
    pin = SsrcPin(7, 10.0, "there")
    now = 10.0 + TAKEOVER_SILENCE
    taken = [pin.admits(8, number, "there", now) for number in range(TAKEOVER_PACKETS)]
    assert taken == [False] * (TAKEOVER_PACKETS - 1) + [True]
    assert pin.ssrc == 8


def test_an_ssrc_from_another_port_is_never_taken_over() -> None:
    pin = SsrcPin(7, 10.0, "there")
    for number in range(100):
        assert not pin.admits(8, number, "elsewhere", 1000.0)
    assert pin.ssrc == 7


def test_two_others_in_turn_and_packets_without_order_are_never_taken_over() -> None:
    pin = SsrcPin(7, 10.0, "there")
    for number in range(100):
        assert not pin.admits(8 + number % 2, number, "there", 1000.0)
        assert not pin.admits(10, number * 1000 & 0xFFFF, "there", 1000.0)
    assert pin.ssrc == 7


def test_a_wrong_announced_ssrc_is_replaced_from_whatever_port_the_peer_sends() -> None:
    pin = SsrcPin(7, 10.0)
    for number in range(TAKEOVER_PACKETS):
        pin.admits(8, number, "there", 10.0 + TAKEOVER_SILENCE)
    assert (pin.ssrc, pin.sender) == (8, "there")


def test_the_loss_is_that_of_the_last_minute() -> None:
    reception = Reception()
    assert reception.loss(0.0) == 0.0
    reception.passed, reception.lost = 90, 10
    assert reception.loss(1.0) == 0.1
    for second in range(2, 70):
        reception.passed += 10
        reception.loss(float(second))
    assert reception.loss(70.0) == 0.0


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 50)), min_size=80, max_size=200))
def test_the_window_of_the_loss_is_a_minute_and_little_more(seconds: list[tuple[int, int]]) -> None:
    reception = Reception()
    told = reception.loss(0.0)
    for now, (passed, lost) in enumerate(seconds, 1):
        reception.passed += passed
        reception.lost += lost
        told = reception.loss(float(now))
        assert len(reception._marks) <= WINDOW / 5 + 2
    candidates = []
    for length in range(int(WINDOW), int(WINDOW) + 6):
        span = seconds[-length:]
        expected = sum(passed + lost for passed, lost in span)
        candidates.append(sum(lost for _, lost in span) / expected if expected else 0.0)
    assert told in candidates
