"""RTCP packets (RFC 3550, section 6): compound packets parsed and built, sans-IO."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final

from adapters.errors import RemoteProtocolError

MAX_COMPOUND: Final = 0xFFFF
"""Bytes of one compound packet: what a datagram or an interleaved frame can hold."""
MAX_PACKETS: Final = 64
"""RTCP packets in one compound packet; 31 sources fit one report, and nobody here mixes more."""

CNAME: Final = 1
"""The SDES item that names the sender (RFC 3550, 6.5.1)."""

_HEADER: Final = struct.Struct("!BBH")
_SENDER: Final = struct.Struct("!IQIII")
_BLOCK: Final = struct.Struct("!IIIIII")
_WORD: Final = struct.Struct("!I")
_MAX_COUNT: Final = 31
_MAX_TEXT: Final = 255


@dataclass(frozen=True)
class ReportBlock:
    """What a receiver says of one source (RFC 3550, 6.4.1)."""

    ssrc: int
    fraction_lost: int
    "0 to 255: 256ths lost since the report before."
    cumulative_lost: int
    "24 bits, signed: negative where more came than was sent."
    highest: int
    "Extended highest sequence number received: cycles in the upper 16 bits."
    jitter: int
    "Ticks of the clock rate."
    lsr: int
    "Middle 32 bits of the last sender report's NTP timestamp; 0 without one."
    dlsr: int
    "65,536ths of a second since that report."

    def __bytes__(self) -> bytes:
        lost = self.fraction_lost << 24 | self.cumulative_lost & 0xFFFFFF
        return _BLOCK.pack(self.ssrc, lost, self.highest, self.jitter, self.lsr, self.dlsr)


@dataclass(frozen=True)
class SenderReport:
    """SR: what a sender has sent, and how its clocks stand (RFC 3550, 6.4.1)."""

    packet_type: ClassVar = 200

    ssrc: int
    ntp: int
    "64 bits: seconds since 1900 in the upper half."
    rtp_timestamp: int
    packets: int
    octets: int
    blocks: tuple[ReportBlock, ...] = ()

    @property
    def lsr(self) -> int:
        """Return the middle 32 bits of the NTP timestamp, as a report block repeats them."""
        return self.ntp >> 16 & 0xFFFFFFFF

    def __bytes__(self) -> bytes:
        body = _SENDER.pack(self.ssrc, self.ntp, self.rtp_timestamp, self.packets, self.octets)
        return _packet(self.packet_type, len(self.blocks), body + b"".join(map(bytes, self.blocks)))


@dataclass(frozen=True)
class ReceiverReport:
    """RR: what a receiver that sends nothing itself has received (RFC 3550, 6.4.2)."""

    packet_type: ClassVar = 201

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()

    def __bytes__(self) -> bytes:
        body = _WORD.pack(self.ssrc) + b"".join(map(bytes, self.blocks))
        return _packet(self.packet_type, len(self.blocks), body)


@dataclass(frozen=True)
class SourceDescription:
    """SDES: items of sources (RFC 3550, 6.5)."""

    packet_type: ClassVar = 202

    chunks: tuple[tuple[int, tuple[tuple[int, bytes], ...]], ...]
    "SSRC, and its items: type (1 to 255, `CNAME` = 1) and text of at most 255 bytes."

    def __bytes__(self) -> bytes:
        return _packet(self.packet_type, len(self.chunks), b"".join(_chunk(*one) for one in self.chunks))


@dataclass(frozen=True)
class Bye:
    """BYE: sources that leave (RFC 3550, 6.6)."""

    packet_type: ClassVar = 203

    ssrcs: tuple[int, ...]
    reason: bytes = b""
    "At most 255 bytes."

    def __bytes__(self) -> bytes:
        body = b"".join(map(_WORD.pack, self.ssrcs))
        if self.reason:
            body += _padded(_text(self.reason))
        return _packet(self.packet_type, len(self.ssrcs), body)


@dataclass(frozen=True)
class App:
    """APP: for an application of its own (RFC 3550, 6.7)."""

    packet_type: ClassVar = 204

    ssrc: int
    subtype: int
    "0 to 31."
    name: bytes
    "Four bytes."
    data: bytes = b""
    "A multiple of four bytes."

    def __bytes__(self) -> bytes:
        if len(self.name) != 4:
            raise ValueError(f"APP name of {len(self.name)} bytes")
        return _packet(self.packet_type, self.subtype, _WORD.pack(self.ssrc) + self.name + self.data)


RtcpPacket = SenderReport | ReceiverReport | SourceDescription | Bye | App


def build_compound(packets: Iterable[RtcpPacket]) -> bytes:
    """Return `packets` as one compound packet; a report should stand first (RFC 3550, 6.1).

    Raises:
        ValueError: a packet holds more than its fields can.
        struct.error: a number is out of the range of its field.
    """
    return b"".join(map(bytes, packets))


def parse_compound(data: bytes | bytearray | memoryview, peer: str = "") -> tuple[RtcpPacket, ...]:
    """Parse one compound packet: the bytes of one datagram or interleaved frame.

    Packets of other types (feedback, XR) are passed over as RFC 3550, 6.1 demands. What A.2 would
    refuse though it can be read is taken: cameras send a lone SDES or BYE, and RFC 5506 allows it.

    Raises:
        RemoteProtocolError: no RTCP version 2, empty, a length or count that leads out of the packet,
            padding before the end, or more than `MAX_PACKETS`.
    """
    data = bytes(data)
    try:
        return tuple(_parsed(data))
    except ValueError as error:
        raise RemoteProtocolError(f"bad RTCP: {error}", peer=peer, received=data) from None


def _parsed(data: bytes) -> Iterable[RtcpPacket]:
    if not data or len(data) > MAX_COMPOUND:
        raise ValueError(f"compound packet of {len(data)} bytes")
    at = seen = 0
    while at < len(data):
        seen += 1
        if seen > MAX_PACKETS:
            raise ValueError(f"more than {MAX_PACKETS} packets in one")
        if at + 4 > len(data):
            raise ValueError("half a header")
        first, kind, words = _HEADER.unpack_from(data, at)
        after = at + 4 + 4 * words
        if first >> 6 != 2:
            raise ValueError(f"version {first >> 6}")
        if after > len(data):
            raise ValueError("a length beyond the packet")
        body = data[at + 4 : after]
        if first & 0x20:
            if after != len(data):
                raise ValueError("padding before the end")
            body = _unpadded(body)
        packet = _read(kind, first & 0x1F, body)
        if packet is not None:
            yield packet
        at = after


def _unpadded(body: bytes) -> bytes:
    if not body or not 0 < body[-1] <= len(body):
        raise ValueError("padding beyond the packet")
    return body[: -body[-1]]


def _read(kind: int, count: int, body: bytes) -> RtcpPacket | None:
    match kind:
        case SenderReport.packet_type:
            _need(body, _SENDER.size + _BLOCK.size * count)
            ssrc, ntp, rtp_timestamp, packets, octets = _SENDER.unpack_from(body)
            blocks = _blocks(body, _SENDER.size, count)
            return SenderReport(ssrc, ntp, rtp_timestamp, packets, octets, blocks)
        case ReceiverReport.packet_type:
            _need(body, 4 + _BLOCK.size * count)
            return ReceiverReport(_WORD.unpack_from(body)[0], _blocks(body, 4, count))
        case SourceDescription.packet_type:
            return _read_description(body, count)
        case Bye.packet_type:
            return _read_bye(body, count)
        case App.packet_type:
            _need(body, 8)
            return App(_WORD.unpack_from(body)[0], count, body[4:8], body[8:])
        case _:
            return None


def _blocks(body: bytes, at: int, count: int) -> tuple[ReportBlock, ...]:
    blocks = []
    for index in range(count):
        ssrc, lost, *rest = _BLOCK.unpack_from(body, at + index * _BLOCK.size)
        cumulative = lost & 0xFFFFFF
        signed = cumulative - 0x1000000 if cumulative & 0x800000 else cumulative
        blocks.append(ReportBlock(ssrc, lost >> 24, signed, *rest))
    return tuple(blocks)


def _read_description(body: bytes, count: int) -> SourceDescription:
    chunks = []
    at = 0
    for _ in range(count):
        _need(body, at + 4)
        ssrc = _WORD.unpack_from(body, at)[0]
        items = []
        at += 4
        while True:
            _need(body, at + 1)
            if body[at] == 0:
                break
            _need(body, at + 2)
            end = at + 2 + body[at + 1]
            _need(body, end)
            items.append((body[at], body[at + 2 : end]))
            at = end
        # One to four zero bytes, up to the next word.
        at += 4 - at % 4
        _need(body, at)
        chunks.append((ssrc, tuple(items)))
    return SourceDescription(tuple(chunks))


def _read_bye(body: bytes, count: int) -> Bye:
    at = 4 * count
    _need(body, at)
    ssrcs = tuple(_WORD.unpack_from(body, 4 * index)[0] for index in range(count))
    reason = b""
    if len(body) > at:
        _need(body, at + 1 + body[at])
        reason = body[at + 1 : at + 1 + body[at]]
    return Bye(ssrcs, reason)


def _need(body: bytes, size: int) -> None:
    if len(body) < size:
        raise ValueError(f"{size} bytes expected in a packet of {len(body)}")


def _packet(kind: int, count: int, body: bytes) -> bytes:
    if not 0 <= count <= _MAX_COUNT:
        raise ValueError(f"count of {count}")
    if len(body) % 4:
        raise ValueError(f"body of {len(body)} bytes")
    return _HEADER.pack(0x80 | count, kind, len(body) // 4) + body


def _chunk(ssrc: int, items: tuple[tuple[int, bytes], ...]) -> bytes:
    listed = b"".join(bytes((kind,)) + _text(text) for kind, text in items)
    if any(kind == 0 for kind, _ in items):
        raise ValueError("an SDES item of type 0")
    # The list ends in at least one zero byte (RFC 3550, 6.5).
    return _WORD.pack(ssrc) + _padded(listed + b"\0")


def _text(text: bytes) -> bytes:
    if len(text) > _MAX_TEXT:
        raise ValueError(f"text of {len(text)} bytes")
    return bytes((len(text),)) + text


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
