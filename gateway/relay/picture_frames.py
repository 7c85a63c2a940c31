"""Pictures as `$` frames of RTP packets, laid down in the worker's buffer in one pass.

A packet is never an object of its own here: its headers are packed where they belong and its octets are copied behind
them. Made one by one and copied, packets cost three times as much.
"""

import secrets
import struct
from typing import Final

from adapters.media.packetizer import MAX_PAYLOAD, fragment_head
from gateway.relay.chunk import HEADER, MARK
from gateway.relay.intake import Frames
from gateway.relay.reader import BUFFER_SIZE

_HEADS: Final = struct.Struct(">BBHBBHII")
"""`$`, channel, length; RTP's header (RFC 3550, 5.1)."""
_RTP: Final = _HEADS.size - HEADER
_MARKER: Final = 0x80
_LAST_START: Final = BUFFER_SIZE - _HEADS.size - MAX_PAYLOAD
"""Behind it no frame fits for sure."""


class PictureFrames:
    """The video of one stream.

    Args:
        frames: where they are written.
        channel: of the frames.
        codec: `H264` or `H265`.
        payload_type: of the packets.
        sequence: number of the first packet.
    """

    def __init__(
        self, frames: Frames, channel: int, codec: str, payload_type: int, *, sequence: int = 0
    ) -> None:
        self._frames = frames
        self._channel = channel
        self._codec = codec
        self._payload_type = payload_type
        self._ssrc = int.from_bytes(secrets.token_bytes(4), "big")
        self._sequence = sequence & 0xFFFF
        self._last = 0
        "Where the newest frame begins."

    def skip(self) -> None:
        """Let a gap show in the sequence: something is missing here."""
        self._sequence = (self._sequence + 1) & 0xFFFF

    def write(self, units: list[bytes], timestamp: int) -> None:
        """Write one picture; its last packet bears the marker.

        Args:
            units: its NAL units, without start codes; one at least.
            timestamp: 90 kHz; counted modulo 2**32.
        """
        timestamp &= 0xFFFFFFFF
        for unit in units:
            if len(unit) <= MAX_PAYLOAD:
                self._whole(unit, timestamp)
            else:
                self._fragments(unit, timestamp)
        self._frames.bytes[self._last + HEADER + 1] |= _MARKER

    def _whole(self, unit: bytes, timestamp: int) -> None:
        frames = self._frames
        if frames.at > _LAST_START:
            frames.turn()
        at, size = frames.at, len(unit)
        _HEADS.pack_into(
            frames.bytes,
            at,
            *(MARK, self._channel, size + _RTP, 0x80, self._payload_type),
            *(self._sequence, timestamp, self._ssrc),
        )
        begin = at + _HEADS.size
        frames.view[begin : begin + size] = unit
        self._last, frames.at = at, begin + size
        self._sequence = (self._sequence + 1) & 0xFFFF

    def _fragments(self, unit: bytes, timestamp: int) -> None:
        """Write a unit that is longer than one packet."""
        # Local names: of each megabit these are ninety turns.
        frames, channel, kind, ssrc = self._frames, self._channel, self._payload_type, self._ssrc
        buffer, view, sequence, pack = frames.bytes, frames.view, self._sequence, _HEADS.pack_into
        prefix, unit_type, offset = fragment_head(self._codec, unit)
        extra = len(prefix) + 1
        most = MAX_PAYLOAD - extra
        first, middle, last = (prefix + bytes((bits | unit_type,)) for bits in (0x80, 0, 0x40))
        at, end, head, heads = frames.at, len(unit), first, _HEADS.size
        while offset < end:
            if at > _LAST_START:
                frames.at = at
                frames.turn()
                at = frames.at
            after = offset + most
            if after >= end:
                after, head = end, last
            size = after - offset
            pack(buffer, at, MARK, channel, size + extra + _RTP, 0x80, kind, sequence, timestamp, ssrc)
            begin = at + heads
            self._last = at
            at = begin + extra + size
            view[begin:at] = head + unit[offset:after]
            sequence = (sequence + 1) & 0xFFFF
            offset, head = after, middle
        frames.at, self._sequence = at, sequence
