"""The benchmark's stream: real H.264 of ffmpeg, each picture marked with its source, number and send time."""

import asyncio
import struct
import time
from collections.abc import Iterator
from typing import Final

RATE: Final = 25
MARK: Final = b"MUSTER-BENCHMARK"
"""The 16 bytes of the SEI's UUID."""
MARK_SIZE: Final = len(MARK) + 16
"""`MARK`, six digits of the source, ten of the picture's number."""
STAMP_SIZE: Final = 16
"""Digits of the send time behind the mark: microseconds of CLOCK_MONOTONIC, which all processes share."""
PAYLOAD: Final = 1400
HEADER: Final = 4
"""Bytes of `$`, channel and length in front of each packet."""
_HEADER: Final = struct.Struct(">BBHBBHII")
_NUMBERS: Final = struct.Struct(">HII")
"""Sequence number, timestamp and SSRC: all that differs between two sources."""
_NUMBERS_AT: Final = HEADER + 2
# In digits, for they never look like a start code to a peer that splits the stream into NAL units.
SEI: Final = b"\x06\x05" + bytes((MARK_SIZE + STAMP_SIZE,)) + bytes(MARK_SIZE + STAMP_SIZE) + b"\x80"
_MARK_AT: Final = _HEADER.size + 3


def mark(source: int, number: int) -> bytes:
    """Return what marks picture `number` of `source`."""
    return MARK + b"%06d%010d" % (source, number)


def stamp(now: float) -> bytes:
    """Return the digits of monotonic `now`."""
    return b"%016d" % int(now * 1e6)


async def encode(seconds: int, bitrate: int) -> list[list[bytes]]:
    """Return `seconds` of 1080p pictures as lists of NAL units, GOP 50, about `bitrate` bit/s."""
    return split(await encode_raw(seconds, bitrate))


async def encode_raw(seconds: int, bitrate: int) -> bytes:
    """Return the same as one byte stream (H.264, annex B)."""
    process = await asyncio.create_subprocess_exec(
        *("ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi"),
        *("-i", f"testsrc2=size=1920x1080:rate={RATE}:duration={seconds}"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-bf", "0", "-aud", "1"),
        *("-b:v", str(bitrate), "-minrate", str(bitrate), "-maxrate", str(bitrate)),
        *("-bufsize", str(bitrate // 2), "-nal-hrd", "cbr", "-threads", "2", "-slices", "1"),
        *("-pix_fmt", "yuv420p", "-f", "h264", "-"),
        stdout=asyncio.subprocess.PIPE,
    )
    data, _ = await process.communicate()
    return data


def split(data: bytes) -> list[list[bytes]]:
    """Return the pictures of `encode_raw` as lists of NAL units."""
    pictures: list[list[bytes]] = []
    for raw in data.split(b"\0\0\1"):
        unit = raw.rstrip(b"\0")
        if not unit:
            continue
        if unit[0] & 0x1F == 9:
            pictures.append([])
        elif unit[0] & 0x1F != 12:
            # Filler (12) keeps the rate in the encoder; without it the stream is what cameras send.
            pictures[-1].append(unit)
    return pictures


def parameter_sets(pictures: list[list[bytes]]) -> list[bytes]:
    """Return SPS and PPS."""
    return [unit for unit in pictures[0] if unit[0] & 0x1F in (7, 8)]


class Rendered:
    """One picture as interleaved frames, made once; a sender only writes its numbers into it.

    All sources of a process share it: what is written for one is sent before the next one's turn.
    """

    def __init__(self, units: list[bytes]) -> None:
        payloads = [SEI]
        for unit in units:
            payloads += _fragments(unit)
        data = bytearray()
        offsets = [0]
        for index, payload in enumerate(payloads):
            marker = 0x80 if index == len(payloads) - 1 else 0
            data += _HEADER.pack(0x24, 0, 12 + len(payload), 0x80, marker | 96, 0, 0, 0) + payload
            offsets.append(len(data))
        self.data: Final = data
        self.view: Final = memoryview(self.data)
        self.offsets: Final = tuple(offsets)
        "Where each packet begins, and the end."

    @property
    def packets(self) -> int:
        """Return how many packets the picture has."""
        return len(self.offsets) - 1

    def mark(self, source: int, number: int, now: float) -> None:
        """Write source, number and send time into the SEI."""
        text = mark(source, number) + stamp(now)
        self.data[_MARK_AT : _MARK_AT + len(text)] = text

    def number(self, first: int, last: int, sequence: int, timestamp: int, source: int) -> None:
        """Write the RTP numbers of packets `first` to `last - 1`; the first one's is `sequence`."""
        pack, data = _NUMBERS.pack_into, self.data
        for at in self.offsets[first:last]:
            pack(data, at + _NUMBERS_AT, sequence & 0xFFFF, timestamp, source)
            sequence += 1

    def packet(self, index: int) -> memoryview:
        """Return packet `index` with its interleaved header."""
        return self.view[self.offsets[index] : self.offsets[index + 1]]

    def all(self) -> Iterator[memoryview]:
        """Return every packet with its interleaved header."""
        return (self.packet(index) for index in range(self.packets))


def timestamp_of(number: int) -> int:
    """Return the RTP timestamp of picture `number`."""
    return number * 90000 // RATE & 0xFFFFFFFF


class Packetizer:
    """Make the interleaved frames of one source, picture after picture, as bytes of their own."""

    def __init__(self, source: int, pictures: list[list[bytes]]) -> None:
        self._source = source
        self._pictures = [Rendered(units) for units in pictures]
        self._sequence = 0
        self.number = 0

    def next_picture(self) -> bytes:
        """Return the frames of the next picture."""
        picture = self._pictures[self.number % len(self._pictures)]
        picture.mark(self._source, self.number, time.monotonic())
        picture.number(0, picture.packets, self._sequence, timestamp_of(self.number), self._source)
        self._sequence += picture.packets
        self.number += 1
        return bytes(picture.data)


def _fragments(unit: bytes) -> list[bytes]:
    if len(unit) <= PAYLOAD:
        return [unit]
    kind, body = unit[0], unit[1:]
    pieces = [body[at : at + PAYLOAD] for at in range(0, len(body), PAYLOAD)]
    indicator = kind & 0xE0 | 28
    last = len(pieces) - 1
    return [
        bytes((indicator, (0x80 if i == 0 else 0x40 if i == last else 0) | kind & 0x1F)) + piece
        for i, piece in enumerate(pieces)
    ]
