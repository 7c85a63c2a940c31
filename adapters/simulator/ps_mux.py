"""Write a program stream as a camera of GB/T 28181 does (2022, Annex C), with the deviations of the field."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_PES: Final = 0xFF80
"""Bytes of one packet's payload; some cameras leave room below the 16 bits."""
RTP_PAYLOAD: Final = 1_400

_TYPES: Final = {"H264": 0x1B, "H265": 0x24}
_SOUNDS: Final = {"PCMA": 0x90, "PCMU": 0x91, "AAC": 0x0F}


class PsQuirk(StrEnum):
    """What the writer does against the standard."""

    NO_MAP = "no_map"
    WRONG_MAP = "wrong_map"
    "It calls H.265 H.264, and the other way round."
    BAD_MAP = "bad_map"
    "Lengths in its map are wrong (Tiandy)."
    PACK_WITHOUT_BODY = "pack_without_body"
    NO_LENGTH = "no_length"
    PRIVATE_STREAM = "private_stream"
    NO_PTS = "no_pts"
    NO_MARKER = "no_marker"
    MARKER_ALWAYS = "marker_always"


@dataclass(frozen=True)
class PsWriter:
    """Writes one stream."""

    codec: str
    quirks: frozenset[PsQuirk] = frozenset()
    sound: str = "PCMA"
    "What the map says of the sound, whether any is sent or not."

    def picture(self, units: bytes, pts: int, *, is_key: bool) -> bytes:
        """Return one picture as a pack: with system header and map where it is a key picture."""
        quirks = self.quirks
        out = [b"\0\0\1\xba" if PsQuirk.PACK_WITHOUT_BODY in quirks else _pack_header(pts)]
        if is_key:
            out.append(bytes.fromhex("000001bb000c809c4104e17fe0e190c0c020"))
            if PsQuirk.NO_MAP not in quirks:
                out.append(self._map())
        if PsQuirk.PRIVATE_STREAM in quirks:
            out.append(b"\0\0\1\xbd" + struct.pack(">H", 24) + bytes(range(24)))
        out += self._packets(units, pts)
        return b"".join(out)

    def piece_of_sound(self, data: bytes, pts: int) -> bytes:
        """Return a packet of sound, which follows a picture in its pack or stands between two packs."""
        fields = self._fields(pts)
        return b"\0\0\1\xc0" + struct.pack(">H", len(fields) + len(data)) + fields + data

    def _map(self) -> bytes:
        codec = self.codec
        if PsQuirk.WRONG_MAP in self.quirks:
            codec = "H264" if codec == "H265" else "H265"
        streams = bytes((_TYPES[codec], 0xE0, 0, 0, _SOUNDS[self.sound], 0xC0, 0, 0))
        told = len(streams) + 100 if PsQuirk.BAD_MAP in self.quirks else len(streams)
        body = b"\xe0\xff\0\0" + struct.pack(">H", told) + streams
        # The check sum that many send: none.
        return b"\0\0\1\xbc" + struct.pack(">H", len(body) + 4) + body + b"\0\0\0\0"

    def _packets(self, units: bytes, pts: int) -> Iterator[bytes]:
        if PsQuirk.NO_LENGTH in self.quirks:
            yield b"\0\0\1\xe0\0\0" + self._fields(pts) + units
            return
        for at in range(0, len(units), MAX_PES):
            fields = self._fields(pts) if at == 0 else b"\x80\0\0"
            piece = units[at : at + MAX_PES]
            yield b"\0\0\1\xe0" + struct.pack(">H", len(fields) + len(piece)) + fields + piece

    def _fields(self, pts: int) -> bytes:
        return b"\x80\0\0" if PsQuirk.NO_PTS in self.quirks else b"\x80\x80\x05" + stamp_of(0x2, pts)

    def rtp(self, pack: bytes, ssrc: int, sequence: int, timestamp: int) -> list[bytes]:
        """Return the RTP packets of one pack."""
        parts = [pack[at : at + RTP_PAYLOAD] for at in range(0, len(pack), RTP_PAYLOAD)]
        packets = []
        for place, part in enumerate(parts):
            is_marked = place == len(parts) - 1 and PsQuirk.NO_MARKER not in self.quirks
            marker = 0x80 if is_marked or PsQuirk.MARKER_ALWAYS in self.quirks else 0
            head = struct.pack(
                ">BBHII", 0x80, marker | 96, (sequence + place) & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc
            )
            packets.append(head + part)
        return packets


def _pack_header(clock: int) -> bytes:
    base = clock & 0x1FFFFFFFF
    value = 0x4 << 44 | (base >> 30 & 7) << 43 | 1 << 42 | (base >> 15 & 0x7FFF) << 27 | 1 << 26
    value |= (base & 0x7FFF) << 11 | 1 << 10 | 1
    # '01' SCR[32..30] 1 SCR[29..15] 1 SCR[14..0] 1 extension 1, 48 bits; then rate 20,000 and no stuffing.
    return b"\0\0\1\xba" + value.to_bytes(6, "big") + bytes.fromhex("013883f8")


def stamp_of(prefix: int, pts: int) -> bytes:
    """Return a time as it stands in the header of a packet (ISO/IEC 13818-1, 2.4.3.7)."""
    pts &= 0x1FFFFFFFF
    return bytes(
        (
            prefix << 4 | (pts >> 30 & 7) << 1 | 1,
            pts >> 22 & 0xFF,
            (pts >> 15 & 0x7F) << 1 | 1,
            pts >> 7 & 0xFF,
            (pts & 0x7F) << 1 | 1,
        )
    )
