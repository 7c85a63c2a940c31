"""Receiver statistics against RFC 3550's own definitions, with time moved by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.media.receiver import ReceiverStatistics
from adapters.media.rtcp import SenderReport

CLOCK = 90_000
SSRC = 0x1234


def test_before_the_first_packet_there_is_nothing_to_report() -> None:
    assert ReceiverStatistics(CLOCK).block(1.0) is None


@given(
    st.integers(0, 65535), st.lists(st.booleans(), max_size=300), st.sets(st.integers(1, 300), max_size=20)
)
def test_loss_is_what_was_expected_less_what_came(
    first: int, arrived: list[bool], reported_after: set[int]
) -> None:
    statistics = ReceiverStatistics(CLOCK)
    statistics.receive(SSRC, first, 0, 0.0, 1)
    highest, received, before = first, 1, (0, 0)
    for number, came in enumerate(arrived, 1):
        if came:
            highest, received = first + number, received + 1
            statistics.receive(SSRC, highest & 0xFFFF, number * 3600 & 0xFFFFFFFF, number / 25, 1)
        if number in reported_after:
            block = statistics.block(number / 25)
            assert block is not None
            expected = highest - first + 1
            interval = (expected - before[0], received - before[1])
            before = (expected, received)
            missing = interval[0] - interval[1]
            assert block.highest == highest
            assert block.cumulative_lost == expected - received
            assert block.fraction_lost == (256 * missing // interval[0] if missing else 0)


@given(st.integers(0, 65535), st.lists(st.integers(1, 100), max_size=50))
def test_only_the_newest_packet_of_each_batch_is_needed(first: int, batches: list[int]) -> None:
    batched, lossless = ReceiverStatistics(CLOCK), ReceiverStatistics(CLOCK)
    newest = first
    for statistics in (batched, lossless):
        statistics.receive(SSRC, first, 0, 0.0, 1)
    for size in batches:
        newest += size
        batched.receive(SSRC, newest & 0xFFFF, 0, 0.0, size)
        lossless.receive(SSRC, newest & 0xFFFF, 0, 0.0)
    assert batched.highest == lossless.highest == newest
    assert batched.received == lossless.received == newest - first + 1
    assert batched.lost == lossless.lost == 0


def test_packets_that_come_twice_make_the_loss_negative_as_the_standard_says() -> None:
    statistics = ReceiverStatistics(CLOCK)
    statistics.receive(SSRC, 10, 0, 0.0, 1)
    statistics.receive(SSRC, 11, 0, 0.0, 3)
    block = statistics.block(1.0)
    assert block is not None
    assert (block.cumulative_lost, block.fraction_lost) == (-2, 0)


def test_even_pictures_have_no_jitter_and_an_uneven_one_a_sixteenth_of_its_delay() -> None:
    statistics = ReceiverStatistics(CLOCK)
    for number in range(10):
        statistics.receive(SSRC, number, (2**32 - 7200 + number * 3600) % 2**32, 5.0 + number / 25, 1)
    assert statistics.jitter == pytest.approx(0.0, abs=1e-9)
    statistics.receive(SSRC, 10, (2**32 - 7200 + 36000) % 2**32, 5.0 + 10 / 25 + 0.016, 1)
    assert statistics.jitter == pytest.approx(0.001)
    block = statistics.block(6.0)
    assert block is not None
    assert block.jitter == 90


def test_another_ssrc_restarts_everything() -> None:
    statistics = ReceiverStatistics(CLOCK)
    statistics.receive(SSRC, 65530, 0, 0.0, 1)
    statistics.receive(SSRC, 2, 5, 9.0, 2)
    assert (statistics.highest, statistics.lost, statistics.restarts) == (65538, 6, 0)
    statistics.receive(SSRC + 1, 500, 0, 9.1, 40)
    block = statistics.block(10.0)
    assert block is not None
    assert (block.ssrc, block.highest, block.cumulative_lost, block.jitter) == (SSRC + 1, 500, 0, 0)
    assert statistics.restarts == 1


def test_a_jump_of_the_sequence_restarts_the_statistics_and_a_late_packet_does_not() -> None:
    statistics = ReceiverStatistics(CLOCK)
    statistics.receive(SSRC, 1000, 0, 0.0, 1)
    statistics.receive(SSRC, 990, 0, 0.0, 1)
    assert (statistics.highest, statistics.restarts) == (1000, 0)
    statistics.receive(SSRC, 9000, 0, 0.0, 1)
    assert (statistics.highest, statistics.expected, statistics.restarts) == (9000, 1, 1)


def test_the_last_sender_report_comes_back_with_its_age() -> None:
    statistics = ReceiverStatistics(CLOCK)
    statistics.receive(SSRC, 1, 0, 100.0, 1)
    statistics.receive_report(SenderReport(SSRC, 0x1122334455667788, 0, 0, 0), 100.0)
    block = statistics.block(102.5)
    assert block is not None
    assert (block.lsr, block.dlsr) == (0x33445566, 163_840)


def test_a_report_of_another_sender_is_no_round_trip_of_ours() -> None:
    statistics = ReceiverStatistics(CLOCK)
    statistics.receive(SSRC, 1, 0, 100.0, 1)
    statistics.receive_report(SenderReport(SSRC + 1, 1 << 40, 0, 0, 0), 100.0)
    block = statistics.block(102.5)
    assert block is not None
    assert (block.lsr, block.dlsr) == (0, 0)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(0, 65535),
            st.integers(0, 2**32 - 1),
            st.floats(0, 1e9),
            st.none() | st.integers(1, 600),
        ),
        max_size=60,
    )
)
def test_whatever_is_received_the_block_can_be_written(
    packets: list[tuple[int, int, int, float, int | None]],
) -> None:
    statistics = ReceiverStatistics(CLOCK)
    for packet in packets:
        statistics.receive(*packet)
        block = statistics.block(packet[3])
        assert block is not None
        assert len(bytes(block)) == 24
