"""MPEG program streams as GB/T 28181 cameras send them (ISO/IEC 13818-1, 2.5; GB/T 28181-2022, Annex C): demultiplexed.

Sans-IO and forgiving: what stands between two start codes is taken for what its start code says, lengths and stream
maps that lie are passed over, and after a loss everything up to the next pack is dropped, so that a picture is whole
or not there at all.
"""

import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_PICTURE: Final = 4 * 1024 * 1024
"""Bytes of one picture, and of what waits to be taken apart; beyond it everything is dropped up to the next pack."""

_PACK: Final = 0xBA
_SYSTEM: Final = 0xBB
_MAP: Final = 0xBC
_FIRST_LAYER: Final = 0xB9
"""Below it a start code is one of the video itself: NAL headers have their first bit clear."""
_SEPARATOR: Final = re.compile(rb"\x00\x00\x01[\xb9-\xff]")
_PACK_CODE: Final = b"\x00\x00\x01\xba"
_MAX_MAP: Final = 1_024
_HEAD: Final = 32
"""Bytes of a packet in which its time stands, whatever stuffs its header."""


class Oddity(StrEnum):
    """What a sender does against the standard, and is followed in all the same."""

    PACK_WITHOUT_BODY = "pack_without_body"
    "Its packs have no clock (Hikvision, H.265)."
    PES_WITHOUT_LENGTH = "pes_without_length"
    PES_LENGTH_WRONG = "pes_length_wrong"
    MAP_MALFORMED = "map_malformed"
    "Tiandy."
    CODEC_NOT_AS_MAPPED = "codec_not_as_mapped"
    "Kedacom, Dahua."
    JUNK_BETWEEN_PACKETS = "junk_between_packets"


VIDEO_TYPES: Final = {0x10: "MPEG4", 0x1B: "H264", 0x24: "H265", 0x80: "SVAC"}
AUDIO_TYPES: Final = {
    0x90: "PCMA",
    0x91: "PCMU",
    0x0F: "AAC",
    0x92: "G722.1",
    0x93: "G723",
    0x99: "G729",
    0x9B: "SVAC",
}


@dataclass(frozen=True, slots=True)
class Elementary:
    """One picture, or one piece of audio."""

    is_video: bool
    data: bytes
    "Annex B for video."
    pts: int | None
    "Ticks of 90 kHz, 33 bits; None where the sender gave none."
    timestamp: int
    "Of the RTP packet in which it began."
    follows_loss: bool
    "Whether something before it is missing."


class PsDemuxer:
    """Take one program stream apart.

    Attributes:
        video_type: stream_type of the video as the map says it, None before one came.
        audio_type: the same of the audio.
        oddities: what was met against the standard, counted.
    """

    def __init__(self) -> None:
        self.video_type: int | None = None
        self.audio_type: int | None = None
        self.oddities: Counter[Oddity] = Counter()
        self._held = bytearray()
        self._starts: list[tuple[int, int]] = []
        "Offset in `_held` and RTP timestamp of each stretch with a timestamp of its own, in order."
        self._timestamp = -1
        self._is_hunting = True
        "Whether everything up to the next pack is dropped."
        self._has_lost = False
        self._needed = 0
        "Bytes that must be held before it is worth looking again."
        self._picture = bytearray()
        self._picture_pts: int | None = None
        self._picture_timestamp = 0
        self._open_stream = 0
        self._found: list[Elementary] = []
        self._marker_lies = False
        self._ended_at_marker = -1

    @property
    def video(self) -> str | None:
        """Return the codec of the video as the map names it."""
        return None if self.video_type is None else VIDEO_TYPES.get(self.video_type)

    @property
    def audio(self) -> str | None:
        """Return the codec of the audio as the map names it."""
        return None if self.audio_type is None else AUDIO_TYPES.get(self.audio_type)

    def gap(self) -> None:
        """Take in that packets are missing here: what is under way is dropped."""
        self._held.clear()
        self._starts.clear()
        self._needed = 0
        self._drop_picture()
        self._is_hunting = True
        self._has_lost = True

    def feed(self, payload: bytes | memoryview, timestamp: int, *, marker: bool) -> list[Elementary]:
        """Take in the payload of the next RTP packet; return what is whole now.

        Args:
            payload: a piece of the program stream, wherever it was cut.
            timestamp: of the RTP packet.
            marker: its marker bit: by the standard the last packet of a picture.
        """
        if timestamp != self._timestamp:
            self._timestamp = timestamp
            self._starts.append((len(self._held), timestamp))
        elif self._ended_at_marker == timestamp:
            # It went on after "the last packet": this sender's markers say nothing.
            self._marker_lies = True
        self._held += payload
        if len(self._held) > MAX_PICTURE:
            self.gap()
            return []
        ends = marker and not self._marker_lies
        if len(self._held) < self._needed and not ends:
            # The way of nearly every packet: another piece of a packet of the stream that is not whole yet.
            return []
        self._take_apart(is_end=ends)
        if ends and not self._held:
            self._end_picture()
            self._ended_at_marker = timestamp
        found, self._found = self._found, []
        return found

    # -- layers ------------------------------------------------------------------------------------------------------

    def _take_apart(self, *, is_end: bool) -> None:
        at = self._needed = 0
        while True:
            after = self._next(at, is_end=is_end)
            if after < 0:
                break
            at = after
        if at:
            del self._held[:at]
            self._starts = [(offset - at, stamp) for offset, stamp in self._starts]
            while len(self._starts) > 1 and self._starts[1][0] <= 0:
                del self._starts[0]

    def _next(self, at: int, *, is_end: bool) -> int:
        """Take the layer that begins at `at`; return where the next begins, or -1 where more bytes are needed."""
        held = self._held
        if self._is_hunting:
            return self._hunt(at)
        if len(held) - at < 4:
            return -1
        code = held[at + 3]
        if held[at : at + 3] != b"\0\0\1" or code < _FIRST_LAYER:
            return self._skip_junk(at, is_end=is_end)
        if 0xC0 <= code <= 0xEF:
            return self._pes(at, code, is_end=is_end)
        return self._pack(at) if code == _PACK else self._other(at, code)

    def _hunt(self, at: int) -> int:
        """Drop everything up to the next pack."""
        pack = self._held.find(_PACK_CODE, at)
        if pack >= 0:
            self._is_hunting = False
            return pack
        # The last octets may be the beginning of one.
        return len(self._held) - 3 if len(self._held) - at > 3 else -1

    def _skip_junk(self, at: int, *, is_end: bool) -> int:
        """Pass over what is no layer: more of an open packet whose length was too short, or nothing."""
        separator = _SEPARATOR.search(self._held, at)
        if separator is None and not is_end:
            # Two octets more could complete a separator that has begun.
            return -1
        end = separator.start() if separator is not None else len(self._held)
        if self._open_stream and 0xE0 <= self._open_stream <= 0xEF:
            self.oddities[Oddity.PES_LENGTH_WRONG] += 1
            self._add_video(at, end)
        elif any(self._held[at:end]):
            self.oddities[Oddity.JUNK_BETWEEN_PACKETS] += 1
        return end

    def _pack(self, at: int) -> int:
        held = self._held
        if len(held) - at < 8:
            return -1
        self._open_stream = 0
        if self._picture and self._picture_pts is None:
            # Where pictures bear times, a new time ends one: some writers spread a picture over several packs.
            self._end_picture()
        if held[at + 4 : at + 7] == b"\0\0\1":
            self.oddities[Oddity.PACK_WITHOUT_BODY] += 1
            return at + 4
        if held[at + 4] >> 6 == 1:
            if len(held) - at < 14:
                return -1
            return at + 14 + (held[at + 13] & 7)
        return at + 12 if held[at + 4] >> 4 == 2 else at + 4

    def _other(self, at: int, code: int) -> int:
        """Pass over a system header, a private stream, padding, the end code; read a stream map."""
        held = self._held
        if code == _FIRST_LAYER:
            return at + 4
        if len(held) - at < 6:
            return -1
        end = at + 6 + (held[at + 4] << 8 | held[at + 5])
        if len(held) < end:
            return -1
        if code == _MAP and end - at <= _MAX_MAP:
            self._read_map(bytes(held[at + 6 : end]))
        self._open_stream = 0
        return end

    def _read_map(self, body: bytes) -> None:
        """Read which stream is what (2.5.4.1); its CRC is not looked at, for many send none."""
        if len(body) < 6:
            self.oddities[Oddity.MAP_MALFORMED] += 1
            return
        at, end = _map_bounds(body)
        while at + 4 <= end:
            kind, stream = body[at], body[at + 1]
            if 0xE0 <= stream <= 0xEF:
                self.video_type = kind
            elif 0xC0 <= stream <= 0xDF:
                self.audio_type = kind
            at += 4 + (body[at + 2] << 8 | body[at + 3])
        if at != end:
            self.oddities[Oddity.MAP_MALFORMED] += 1

    # -- packets -----------------------------------------------------------------------------------------------------

    def _pes(self, at: int, code: int, *, is_end: bool) -> int:
        held = self._held
        if len(held) - at < 9:
            return -1
        length = held[at + 4] << 8 | held[at + 5]
        end = at + 6 + length
        if code >= 0xE0 and len(held) - at >= _HEAD:
            # A new time ends the picture before, whether or not all of the packet is there.
            self._begin_video(at, _header(held, at, len(held))[0])
        if length == 0:
            separator = _SEPARATOR.search(held, at + 6)
            if separator is None and not is_end:
                return -1
            self.oddities[Oddity.PES_WITHOUT_LENGTH] += 1
            end = separator.start() if separator is not None else len(held)
        if len(held) < end:
            # Counted from here, where what is held begins once the layers before are gone.
            self._needed = end - at
            return -1
        pts, begin = _header(held, at, end)
        if code >= 0xE0:
            self._begin_video(at, pts)
            self._add_video(begin, end)
            self._open_stream = code
        else:
            self._open_stream = 0
            piece = bytes(held[begin:end])
            if piece:
                self._found.append(Elementary(False, piece, pts, self._stamp(at), self._has_lost))
        return end

    def _begin_video(self, at: int, pts: int | None) -> None:
        stamp = self._stamp(at)
        if not self._picture:
            self._picture_pts, self._picture_timestamp = pts, stamp
        elif pts is not None and self._picture_pts is not None and pts != self._picture_pts:
            self._end_picture()
            self._picture_pts, self._picture_timestamp = pts, stamp

    def _add_video(self, begin: int, end: int) -> None:
        if len(self._picture) + end - begin > MAX_PICTURE:
            self._drop_picture()
            self._is_hunting = self._has_lost = True
            return
        self._picture += memoryview(self._held)[begin:end]

    def _end_picture(self) -> None:
        if self._picture:
            self._found.append(
                Elementary(
                    True, bytes(self._picture), self._picture_pts, self._picture_timestamp, self._has_lost
                )
            )
            self._has_lost = False
        self._drop_picture()

    def _drop_picture(self) -> None:
        self._picture.clear()
        self._picture_pts = None
        self._open_stream = 0

    def _stamp(self, at: int) -> int:
        """Return the RTP timestamp of what stands at `at`."""
        stamp = self._starts[0][1] if self._starts else self._timestamp
        for offset, each in self._starts:
            if offset > at:
                break
            stamp = each
        return stamp


def _map_bounds(body: bytes) -> tuple[int, int]:
    """Return where the elementary stream map lies, behind program_stream_info and its own length."""
    begin = 4 + (body[2] << 8 | body[3])
    if begin + 2 > len(body):
        return 0, 0
    size = body[begin] << 8 | body[begin + 1]
    return begin + 2, min(begin + 2 + size, len(body))


def _header(held: bytearray, at: int, end: int) -> tuple[int | None, int]:
    """Return PTS and beginning of the payload of the packet at `at` (2.4.3.6; ISO/IEC 11172-1, 2.4.3.3)."""
    if held[at + 6] >> 6 != 2:
        return _old_header(held, at + 6, end)
    begin = min(at + 9 + held[at + 8], end)
    if held[at + 7] & 0x80 and begin - at >= 14:
        return _stamp(held, at + 9), begin
    return None, begin


def _old_header(held: bytearray, at: int, end: int) -> tuple[int | None, int]:
    """Read the header of a packet of MPEG-1: stuffing, the size of a buffer, times."""
    while at < end and held[at] == 0xFF:
        at += 1
    if at + 1 < end and held[at] >> 6 == 1:
        at += 2
    if at >= end:
        return None, end
    kind = held[at] >> 4
    if kind in (2, 3) and at + 5 <= end:
        return _stamp(held, at), min(at + (5 if kind == 2 else 10), end)
    return None, at + 1 if held[at] == 0x0F else at


def _stamp(held: bytearray, at: int) -> int:
    p = held[at : at + 5]
    return (p[0] >> 1 & 7) << 30 | p[1] << 22 | (p[2] >> 1) << 15 | p[3] << 7 | p[4] >> 1


_H265_FIRST: Final = frozenset({0x40, 0x42, 0x44, 0x26, 0x28, 0x2A, 0x02, 0x4E})
_H264_FIRST: Final = frozenset({7, 8, 5, 1, 6})
_DELIMITERS: Final = (b"\x46\x01", b"\x09")


def codec_of(units: list[bytes]) -> str | None:
    """Return what the NAL units of a picture are, `H264` or `H265`, whatever a map says; None where that is open."""
    for unit in units:
        if unit.startswith(_DELIMITERS):
            continue
        if unit[0] in _H265_FIRST and len(unit) > 1 and unit[1] == 1:
            return "H265"
        if unit[0] & 0x80 == 0 and unit[0] & 0x1F in _H264_FIRST:
            return "H264"
    return None
