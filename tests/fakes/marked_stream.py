"""Pictures whose every packet tells its source and its number, and the judge of what arrived. Sans-IO.

The slices are no real pictures: what is tested carries them and looks at no more than their first bytes.
"""

import base64
import re
from dataclasses import asdict, dataclass
from typing import Final

PAYLOAD: Final = 1_200
"""Most bytes of one NAL unit or fragment."""
GOP: Final = 10
"""Pictures from key picture to key picture."""

_SPS: Final = bytes.fromhex("6742c01ed9005005bb0110000003001000000303c0f162e480")
_PPS: Final = bytes.fromhex("68ce3c80")
_MARK: Final = re.compile(rb"<(\d{6}):(\d{10})>")
_MARK_SIZE: Final = 19


def sdp() -> bytes:
    """Return the description that all sources share."""
    sets = ",".join(base64.b64encode(unit).decode() for unit in (_SPS, _PPS))
    return (
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=marked\r\nt=0 0\r\na=control:*\r\n"
        "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
        f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}\r\na=control:track1\r\n"
    ).encode()


class MarkedStream:
    """The pictures of one source, as RTP packets (RFC 6184).

    Args:
        source: its number, at most six digits.
        weight: bytes of an ordinary picture; a key picture has four times as many.
        ssrc: of all its packets; the source's number when None.
    """

    def __init__(self, source: int, weight: int = 400, *, ssrc: int | None = None) -> None:
        self.number = 0
        self._source = source
        self._weight = weight
        self._ssrc = source if ssrc is None else ssrc
        self._sequence = 0

    def next_picture(self) -> list[bytes]:
        """Return the packets of the next picture: an SEI, parameter sets before a key picture, the slice."""
        mark = b"<%06d:%010d>" % (self._source, self.number)
        is_key = self.number % GOP == 0
        weight = self._weight * (4 if is_key else 1)
        slice_unit = (b"\x65" if is_key else b"\x41") + mark * (weight // _MARK_SIZE + 1)
        payloads = [b"\x06\x05" + bytes((16 + _MARK_SIZE,)) + b"one marked frame" + mark + b"\x80"]
        payloads += [_SPS, _PPS] if is_key else []
        payloads += _fragments(slice_unit)
        packets = [self._packet(each, is_last=each is payloads[-1]) for each in payloads]
        self.number += 1
        return packets

    def _packet(self, payload: bytes, *, is_last: bool) -> bytes:
        sequence, self._sequence = self._sequence, (self._sequence + 1) % 65536
        head = bytes((0x80, (0x80 if is_last else 0) | 96)) + sequence.to_bytes(2, "big")
        timestamp = self.number * 3600 % 2**32
        return head + timestamp.to_bytes(4, "big") + self._ssrc.to_bytes(4, "big") + payload


def _fragments(unit: bytes) -> list[bytes]:
    """Return `unit` as it is, or as FU-A (RFC 6184, section 5.8)."""
    if len(unit) <= PAYLOAD:
        return [unit]
    # All about as long, so that none is too short to hold a whole mark.
    size = len(unit) // (len(unit) // PAYLOAD + 1) + 1
    pieces = [unit[at : at + size] for at in range(1, len(unit), size)]
    indicator, kind = unit[0] & 0xE0 | 28, unit[0] & 0x1F
    ends = [0x80, *[0] * (len(pieces) - 2), 0x40]
    return [bytes((indicator, end | kind)) + piece for end, piece in zip(ends, pieces, strict=True)]


@dataclass
class Judge:
    """What arrived by one connection under one source's number."""

    source: int
    packets: int = 0
    pictures: int = 0
    foreign: int = 0
    "Packets with another source's mark: must never be."
    missing: int = 0
    "Pictures that are missing between two others."
    torn: int = 0
    "Times that packets were missing and it was not whole pictures."
    unframed: int = 0
    "Frames that are no RTP of ours."
    _sequence: int = -1
    _number: int = -1
    _is_ended: bool = True

    def counts(self) -> dict[str, int]:
        """Return the counts by name."""
        return {name: value for name, value in asdict(self).items() if not name.startswith("_")}

    def take(self, packet: bytes) -> None:
        """Judge one RTP packet."""
        if len(packet) < 13 or packet[0] >> 6 != 2:
            self.unframed += 1
            return
        self.packets += 1
        sequence = int.from_bytes(packet[2:4], "big")
        kind = packet[12] & 0x1F
        is_next = self._sequence < 0 or sequence == (self._sequence + 1) % 65536
        if not is_next and (kind != 6 or not self._is_ended):
            self.torn += 1
        self._sequence = sequence
        self._is_ended = packet[1] & 0x80 != 0
        if kind in (7, 8):
            return
        marks = _MARK.findall(packet, 12)
        if not marks or any(int(source) != self.source for source, _ in marks):
            self.foreign += 1
        elif kind == 6:
            self._take_picture(int(marks[0][1]))

    def _take_picture(self, number: int) -> None:
        if self._number >= 0:
            self.missing += max(0, number - self._number - 1)
        self._number = number
        self.pictures += 1
