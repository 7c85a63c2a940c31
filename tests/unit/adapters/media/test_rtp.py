import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.media.rtp import RtpHeader, SequenceTracker


@given(
    st.integers(0, 127),
    st.booleans(),
    st.integers(0, 65535),
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 2**32 - 1), max_size=15),
    st.one_of(st.none(), st.lists(st.integers(0, 2**32 - 1), max_size=5)),
    st.binary(max_size=50),
    st.integers(0, 20),
)
def test_a_header_is_read_as_it_was_written(
    payload_type: int,
    marker: bool,
    sequence: int,
    timestamp: int,
    sources: list[int],
    extension: list[int] | None,
    payload: bytes,
    padding: int,
) -> None:
    first = 0x80 | (0x20 if padding else 0) | (0x10 if extension is not None else 0) | len(sources)
    packet = struct.pack("!BBHII", first, payload_type | marker << 7, sequence, timestamp, 7)
    packet += b"".join(struct.pack("!I", one) for one in sources)
    if extension is not None:
        packet += struct.pack("!HH", 0xABAC, len(extension))
        packet += b"".join(struct.pack("!I", one) for one in extension)
    start = len(packet)
    packet += payload + (bytes(padding - 1) + bytes([padding]) if padding else b"")
    assert RtpHeader.parse(packet) == RtpHeader(
        payload_type, marker, sequence, timestamp, 7, start, start + len(payload)
    )


@given(st.binary(max_size=40))
def test_any_bytes_parse_or_raise_value_error(data: bytes) -> None:
    try:
        header = RtpHeader.parse(data)
    except ValueError:
        return
    assert 12 <= header.payload_start <= header.payload_end <= len(data)


def tracker_after(*sequences: int) -> SequenceTracker:
    tracker = SequenceTracker()
    for sequence in sequences:
        tracker.receive(sequence, 1)
    return tracker


@pytest.mark.parametrize(
    ("sequences", "lost", "gaps", "restarts"),
    [
        ((), 0, 0, 0),
        ((5, 6, 7), 0, 0, 0),
        ((65534, 65535, 0, 1), 0, 0, 0),
        ((5, 9), 3, 1, 0),
        ((65535, 2), 2, 1, 0),
        ((5, 7, 6, 8), 1, 1, 0),
        ((5, 5, 6), 0, 0, 0),
        ((5, 40000, 40001), 0, 0, 1),
    ],
)
def test_gaps_are_counted(sequences: tuple[int, ...], lost: int, gaps: int, restarts: int) -> None:
    tracker = tracker_after(*sequences)
    assert (tracker.lost, tracker.gaps, tracker.restarts) == (lost, gaps, restarts)
    assert tracker.received == len(sequences)


def test_another_ssrc_is_a_restart_and_no_loss() -> None:
    tracker = tracker_after(5, 6)
    assert tracker.receive(900, 2) == 0
    assert (tracker.lost, tracker.restarts) == (0, 1)
    assert tracker.receive(902, 2) == 1
