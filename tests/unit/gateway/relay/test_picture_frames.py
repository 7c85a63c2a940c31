import pytest

from adapters.media.packetizer import MAX_PAYLOAD, payloads
from adapters.media.rtp import RtpHeader
from gateway.relay.intake import Frames
from gateway.relay.picture_frames import PictureFrames
from gateway.relay.reader import BUFFER_SIZE, SharedBuffer

SIZES = [1, MAX_PAYLOAD, MAX_PAYLOAD + 1, MAX_PAYLOAD + 2, 2 * MAX_PAYLOAD + 1, 2 * MAX_PAYLOAD + 2, 40_000]


class Kept:
    """A reader that keeps every frame and leaves nothing over."""

    def __init__(self, shared: SharedBuffer) -> None:
        self._shared = shared
        self.channels: list[int] = []
        self.packets: list[bytes] = []
        self.rounds = 0

    def begin(self) -> int:
        return 0

    def end(self, end: int, at: float) -> None:
        self.rounds += 1
        data, at_ = bytes(self._shared.view[:end]), 0
        while at_ < end:
            assert data[at_] == 0x24
            after = at_ + 4 + int.from_bytes(data[at_ + 2 : at_ + 4], "big")
            self.channels.append(data[at_ + 1])
            self.packets.append(data[at_ + 4 : after])
            at_ = after
        assert at_ == end


def unit(codec: str, size: int) -> bytes:
    head = b"\x65" if codec == "H264" else b"\x26\x01"
    return (head + bytes(1 + n % 251 for n in range(size)))[:size]


def written(codec: str, pictures: list[list[bytes]], *, sequence: int = 0) -> Kept:
    shared = SharedBuffer()
    kept = Kept(shared)
    frames = Frames(shared, kept)
    video = PictureFrames(frames, 4, codec, 96, sequence=sequence)
    for number, units in enumerate(pictures):
        frames.begin(0.0)
        video.write(units, (1 << 32) + 3600 * number)
        frames.end()
        video.skip()
    return kept


CASES = [(codec, size) for codec in ("H264", "H265") for size in SIZES if (codec, size) != ("H265", 1)]


@pytest.mark.parametrize(("codec", "size"), CASES)
def test_a_unit_goes_into_the_packets_that_the_standard_wants(codec: str, size: int) -> None:
    units = [unit(codec, size), unit(codec, 9)]
    kept = written(codec, [units])
    headers = [RtpHeader.parse(packet) for packet in kept.packets]
    assert [packet[header.payload_start :] for packet, header in zip(kept.packets, headers, strict=True)] == [
        part for each in units for part in payloads(codec, each)
    ]
    assert [header.marker for header in headers] == [False] * (len(headers) - 1) + [True]
    assert all(len(packet) <= 12 + MAX_PAYLOAD for packet in kept.packets)
    assert {(header.payload_type, header.timestamp) for header in headers} == {(96, 0)}
    assert set(kept.channels) == {4}


def test_numbers_go_on_over_pictures_and_a_gap_shows() -> None:
    kept = written("H264", [[unit("H264", 3_000)], [unit("H264", 5)]], sequence=65_534)
    headers = [RtpHeader.parse(packet) for packet in kept.packets]
    assert [header.sequence for header in headers] == [65_534, 65_535, 0, 2]
    assert [header.timestamp for header in headers] == [0, 0, 0, 3600]
    assert [header.marker for header in headers] == [False, False, True, True]
    assert len({header.ssrc for header in headers}) == 1


def test_a_picture_larger_than_the_buffer_goes_on_in_several_rounds_and_loses_nothing() -> None:
    big = unit("H264", 2 * BUFFER_SIZE)
    small = [unit("H264", MAX_PAYLOAD)] * 600
    kept = written("H264", [[big, *small]])
    assert kept.rounds > 3
    expected = [part for each in [big, *small] for part in payloads("H264", each)]
    assert [packet[12:] for packet in kept.packets] == expected
    assert [packet[1] >> 7 for packet in kept.packets] == [0] * (len(expected) - 1) + [1]
