"""RTP packets (RFC 3550): a view of the header, and sequence gaps, sans-IO."""

import struct
from dataclasses import dataclass
from typing import Final

HEADER: Final = struct.Struct("!BBHII")
MAX_JUMP: Final = 3000
"""Largest forward step of the sequence number that counts as loss (RFC 3550, A.1: MAX_DROPOUT)."""


@dataclass(frozen=True)
class RtpHeader:
    """The header of one RTP packet, and where its payload lies."""

    payload_type: int
    marker: bool
    sequence: int
    "0 to 65535."
    timestamp: int
    "Ticks of the clock rate, 32 bits."
    ssrc: int
    payload_start: int
    payload_end: int
    "Behind the payload, padding left out."

    @classmethod
    def parse(cls, packet: bytes | bytearray | memoryview) -> "RtpHeader":
        """Read the header of `packet`.

        Raises:
            ValueError: not RTP version 2, or shorter than its own header says.
        """
        if len(packet) < HEADER.size:
            raise ValueError(f"RTP packet of {len(packet)} bytes")
        first, second, sequence, timestamp, ssrc = HEADER.unpack_from(packet)
        if first >> 6 != 2:
            raise ValueError(f"RTP version {first >> 6}")
        start = HEADER.size + 4 * (first & 0x0F)
        if first & 0x10:
            if len(packet) < start + 4:
                raise ValueError("RTP extension beyond the packet")
            start += 4 + 4 * int.from_bytes(packet[start + 2 : start + 4], "big")
        end = len(packet)
        if first & 0x20:
            end -= packet[-1]
            if packet[-1] == 0:
                raise ValueError("RTP padding of zero bytes")
        if start > end:
            raise ValueError("RTP header beyond the packet")
        return cls(second & 0x7F, bool(second & 0x80), sequence, timestamp, ssrc, start, end)


class SequenceTracker:
    """Count what is missing in one RTP stream.

    Attributes:
        received: packets taken in.
        lost: sequence numbers passed over; late packets are not taken off again.
        gaps: how often any were passed over.
        restarts: how often the sequence began anew: another SSRC, or a step beyond `MAX_JUMP`.
    """

    def __init__(self) -> None:
        self.received = 0
        self.lost = 0
        self.gaps = 0
        self.restarts = 0
        self._ssrc: int | None = None
        self._expected = 0

    def receive(self, sequence: int, ssrc: int) -> int:
        """Take in one packet and return how many were passed over before it."""
        self.received += 1
        if self._ssrc is None:
            self._ssrc, self._expected = ssrc, (sequence + 1) & 0xFFFF
            return 0
        step = (sequence - self._expected) & 0xFFFF
        is_late = step >= 0x10000 - MAX_JUMP
        if ssrc == self._ssrc and is_late:
            return 0
        self._expected = (sequence + 1) & 0xFFFF
        if ssrc != self._ssrc or step > MAX_JUMP:
            self._ssrc = ssrc
            self.restarts += 1
            return 0
        if step:
            self.lost += step
            self.gaps += 1
        return step
