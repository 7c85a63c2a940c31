"""NAL units as RTP payloads and packets: H.264 (RFC 6184, 5.6, 5.8) and H.265 (RFC 7798, 4.4.1, 4.4.3). Sans-IO."""

import re
from collections.abc import Iterator
from typing import Final

from adapters.media.rtp import HEADER

MAX_PAYLOAD: Final = 1_400
"""Bytes: a packet fits an Ethernet frame."""

_START_CODE: Final = re.compile(rb"\x00\x00\x01")
_FU_A: Final = 28
_FU: Final = 49
_MARKER: Final = 0x80


def split_units(data: bytes) -> list[bytes]:
    """Return the NAL units of Annex B data, start codes and the zero octets around them taken off."""
    starts = [match.end() for match in _START_CODE.finditer(data)]
    ends = [start - 3 for start in starts[1:]] + [len(data)]
    found = [data[start:end].rstrip(b"\0") for start, end in zip(starts, ends, strict=True)]
    return [unit for unit in found if unit]


def payloads(codec: str, unit: bytes, most: int = MAX_PAYLOAD) -> Iterator[bytes]:
    """Yield one NAL unit as a payload of its own, or in fragments of `most` bytes.

    Args:
        codec: `H264` or `H265`.
        unit: with its header, without start code.
        most: bytes of a payload. A fragment holds less of the unit than that, so that there are two at least: one
            that is the first and the last at once is forbidden.
    """
    if len(unit) <= most:
        yield unit
        return
    head, kind, at = fragment_head(codec, unit)
    flags, size = 0x80, most - len(head) - 1
    while at < len(unit):
        after = at + size
        if after >= len(unit):
            flags |= 0x40
        yield head + bytes((flags | kind,)) + unit[at:after]
        flags, at = 0, after


def fragment_head(codec: str, unit: bytes) -> tuple[bytes, int, int]:
    """Return how the fragments of a NAL unit begin: payload header, type, and how much of the unit these stand for.

    The type goes into the FU header behind the payload header, together with the bits for the first (0x80) and the
    last fragment (0x40).
    """
    if codec == "H264":
        return bytes((unit[0] & 0xE0 | _FU_A,)), unit[0] & 0x1F, 1
    return bytes((unit[0] & 0x81 | _FU << 1, unit[1])), unit[0] >> 1 & 0x3F, 2


class Packetizer:
    """Make the RTP packets of one stream.

    Args:
        codec: `H264` or `H265`.
        payload_type: of the packets.
        ssrc: of the packets.
        sequence: number of the first packet.
    """

    def __init__(self, codec: str, payload_type: int, ssrc: int, sequence: int = 0) -> None:
        self._codec = codec
        self._payload_type = payload_type
        self._ssrc = ssrc
        self._sequence = sequence & 0xFFFF

    def skip(self, count: int = 1) -> None:
        """Let a gap show in the sequence: something is missing here."""
        self._sequence = (self._sequence + count) & 0xFFFF

    def picture(self, units: list[bytes], timestamp: int) -> list[bytes]:
        """Return the packets of one picture; the last one bears the marker."""
        parts = [part for unit in units for part in payloads(self._codec, unit)]
        packets = [self._packet(part, timestamp, self._payload_type) for part in parts[:-1]]
        packets += [self._packet(part, timestamp, _MARKER | self._payload_type) for part in parts[-1:]]
        return packets

    def _packet(self, payload: bytes, timestamp: int, second: int) -> bytes:
        header = HEADER.pack(0x80, second, self._sequence, timestamp & 0xFFFFFFFF, self._ssrc)
        self._sequence = (self._sequence + 1) & 0xFFFF
        return header + payload
