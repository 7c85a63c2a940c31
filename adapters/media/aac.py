"""AAC as program streams carry it, in ADTS (ISO/IEC 13818-7, 6.2), and as RTP does (RFC 3640, 3.3.6). Sans-IO."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from adapters.media.packetizer import MAX_PAYLOAD
from adapters.media.sdp import Format

SAMPLES: Final = 1_024
"""In one access unit."""
_HEADER: Final = 7
_CHECKED_HEADER: Final = 9
_SYNC: Final = b"\xff"
_RATES: Final = (
    96_000,
    88_200,
    64_000,
    48_000,
    44_100,
    32_000,
    24_000,
    22_050,
    16_000,
    12_000,
    11_025,
    8_000,
    7_350,
)
_AU_HEADERS: Final = struct.Struct(">HH")
_FRAGMENT: Final = MAX_PAYLOAD - _AU_HEADERS.size


@dataclass(frozen=True)
class AacFormat:
    """What an ADTS header says of its stream."""

    object_type: int
    "2: low complexity, which nearly all are."
    rate_index: int
    channels: int
    "1 to 7, as the standard numbers them; 0 where the stream itself tells."

    @property
    def rate(self) -> int:
        """Return the sampling rate, Hz."""
        return _RATES[self.rate_index]

    def describe(self, payload_type: int) -> Format:
        """Return it as RTP carries it: mode AAC-hbr, AudioSpecificConfig of ISO/IEC 14496-3, 1.6.2.1."""
        config = self.object_type << 11 | self.rate_index << 7 | self.channels << 3
        parameters = (
            "streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;"
            f"config={config:04X}"
        )
        return Format(payload_type, "MPEG4-GENERIC", self.rate, self.channels or None, parameters)


def read_header(data: bytes | memoryview, at: int = 0) -> tuple[AacFormat, int, int] | None:
    """Return format, size of the header and of the whole frame at `at`, bytes; None where no ADTS frame begins.

    One access unit in a frame is all that is known: nobody sends more.
    """
    if len(data) - at < _HEADER or data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0:
        return None
    rate_index = data[at + 2] >> 2 & 0xF
    header = _HEADER if data[at + 1] & 1 else _CHECKED_HEADER
    size = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    if rate_index >= len(_RATES) or size <= header or data[at + 6] & 3:
        return None
    channels = (data[at + 2] & 1) << 2 | data[at + 3] >> 6
    return AacFormat((data[at + 2] >> 6) + 1, rate_index, channels), header, size


def starts_with_adts(data: bytes) -> AacFormat | None:
    """Return the format where `data` begins with an ADTS frame that ends with it, or before another; else None.

    Twelve bits alone are met by chance in other audio.
    """
    read = read_header(data)
    if read is None:
        return None
    form, _, size = read
    if size == len(data):
        return form
    after = read_header(data, size)
    return form if after is not None and after[0] == form else None


class AdtsReader:
    """Take the access units out of ADTS frames, wherever they were cut.

    Args:
        form: of the stream; frames of another format are passed over.
    """

    def __init__(self, form: AacFormat) -> None:
        self._form = form
        self._held = b""

    @property
    def held(self) -> int:
        """Return the bytes that wait for more."""
        return len(self._held)

    def gap(self) -> None:
        """Take in that something is missing here."""
        self._held = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the access units that are whole now; at most one frame is held."""
        held = self._held + data
        found: list[bytes] = []
        at = 0
        while at >= 0 and len(held) - at >= _HEADER:
            read = read_header(held, at)
            if read is None or read[0] != self._form:
                at = held.find(_SYNC, at + 1)
                continue
            _, header, size = read
            if len(held) - at < size:
                break
            found.append(held[at + header : at + size])
            at += size
        self._held = held[at:] if at >= 0 else b""
        return found


def payloads(unit: bytes) -> Iterator[bytes]:
    """Yield one access unit as RTP payloads: each with one AU header, which tells the size of the whole (3.2.3)."""
    header = _AU_HEADERS.pack(16, len(unit) << 3)
    for begin in range(0, len(unit), _FRAGMENT):
        yield header + unit[begin : begin + _FRAGMENT]
