"""The benchmark's stream: real H.264 of ffmpeg, each picture marked with its source and number."""

import asyncio
import struct
from typing import Final

RATE: Final = 25
MARK: Final = b"MUSTER-BENCHMARK"
"""The 16 bytes of the SEI's UUID."""
MARK_SIZE: Final = len(MARK) + 16
"""`MARK`, six digits of the source, ten of the picture's number."""
PAYLOAD: Final = 1400
_HEADER: Final = struct.Struct(">BBHBBHII")


def mark(source: int, number: int) -> bytes:
    """Return what marks picture `number` of `source`."""
    return MARK + b"%06d%010d" % (source, number)


async def encode(seconds: int, bitrate: int) -> list[list[bytes]]:
    """Return `seconds` of 1080p pictures as lists of NAL units, GOP 50, about `bitrate` bit/s."""
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


class Packetizer:
    """Make the interleaved frames of one source, picture after picture."""

    def __init__(self, source: int, pictures: list[list[bytes]]) -> None:
        self._source = source
        self._pictures = pictures
        self._sequence = 0
        self.number = 0

    def next_picture(self) -> bytes:
        """Return the frames of the next picture."""
        payloads = [b"\x06\x05" + bytes((MARK_SIZE,)) + mark(self._source, self.number) + b"\x80"]
        for unit in self._pictures[self.number % len(self._pictures)]:
            payloads += _fragments(unit)
        timestamp = self.number * 90000 // RATE & 0xFFFFFFFF
        parts = []
        for index, payload in enumerate(payloads):
            marker = 0x80 if index == len(payloads) - 1 else 0
            parts.append(
                _HEADER.pack(
                    *(0x24, 0, 12 + len(payload), 0x80, marker | 96, self._sequence & 0xFFFF),
                    *(timestamp, self._source),
                )
            )
            parts.append(payload)
            self._sequence += 1
        self.number += 1
        return b"".join(parts)


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
