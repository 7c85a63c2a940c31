import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import RemoteProtocolError
from gateway.relay.rtp_framing import PREAMBLE, RtpFramer


def packet(number: int, size: int = 100) -> bytes:
    return struct.pack(">BBHII", 0x80, 96, number, 0, 7) + bytes([number % 200 + 1]) * size


def framed(numbers: range, *, before: bytes = b"") -> bytes:
    return b"".join(before + struct.pack(">H", len(packet(n))) + packet(n) for n in numbers)


def received(data: bytes, cuts: list[int]) -> list[bytes]:
    framer, found, at, turn = RtpFramer(), [], 0, 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        found += [bytes(each) for each in framer.receive(data[at : at + size])]
        at, turn = at + size, turn + 1
    return found


@pytest.mark.parametrize("before", [b"", b"$\0"])
@given(cuts=st.lists(st.integers(1, 300), min_size=1, max_size=6))
def test_packets_are_cut_out_wherever_the_stream_is_cut(before: bytes, cuts: list[int]) -> None:
    assert received(framed(range(9), before=before), cuts) == [packet(n) for n in range(9)]


@given(cuts=st.lists(st.integers(1, 300), min_size=1, max_size=6))
def test_a_private_preamble_is_passed_over(cuts: list[int]) -> None:
    preamble = b"\1\0" + b"\2" * (PREAMBLE - 2)
    assert received(preamble + framed(range(5)), cuts) == [packet(n) for n in range(5)]


def test_what_is_no_rtp_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        list(RtpFramer().receive(b"GET / HTTP/1.1\r\n" * 200))
    framer = RtpFramer()
    list(framer.receive(framed(range(2))))
    with pytest.raises(RemoteProtocolError):
        list(framer.receive(struct.pack(">H", 40) + b"\0" * 40))


def test_a_frame_too_short_for_rtp_is_passed_over() -> None:
    framer = RtpFramer()
    data = framed(range(1)) + struct.pack(">H", 4) + b"\0\0\0\0" + framed(range(1, 2))
    assert [bytes(each) for each in framer.receive(data)] == [packet(0), packet(1)]
