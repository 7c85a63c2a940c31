"""A generated clip: a moving test picture with a number, the time in the clip and the frame number burnt in.

The figures are drawn from seven segments, so that no font is needed; whoever sees a picture can say whose it is and
which one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from types import MappingProxyType
from typing import Final

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from adapters.media.packetizer import payloads, split_units
from adapters.media.parameter_sets import describe
from adapters.media.sdp import Format
from adapters.simulator.camera import VirtualCamera

CLOCK_RATE: Final = 90_000
PAYLOAD_TYPE: Final = 96
SECONDS: Final = 10
"""Of a clip; it is played again and again, with times that go on."""

_ENCODERS: Final = {"H264": "libx264", "H265": "libx265"}
_OPTIONS: Final = {
    "H264": {"preset": "ultrafast", "tune": "zerolatency", "crf": "30"},
    "H265": {"preset": "ultrafast", "tune": "zerolatency", "crf": "32", "x265-params": "log-level=none"},
}

# Segments: a top, b upper right, c lower right, d bottom, e lower left, f upper left, g middle.
_SEGMENTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "0": "abcdef",
        "1": "bc",
        "2": "abged",
        "3": "abgcd",
        "4": "fgbc",
        "5": "afgcd",
        "6": "afgedc",
        "7": "abc",
        "8": "abcdefg",
        "9": "abcdfg",
        "-": "g",
        " ": "",
    }
)


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP payload of a picture."""

    payload: bytes
    is_last: bool
    "The last of its picture: the marker bit."


@dataclass(frozen=True)
class Clip:
    """A clip ready to be sent: nothing is computed while it plays."""

    format: Format
    pictures: tuple[tuple[Packet, ...], ...]
    "The first is a key picture, as is every `key_every`-th."
    units: tuple[bytes, ...]
    "The same pictures as NAL units with start codes (Annex B)."
    frame_rate: int
    key_every: int
    "Pictures."


def make_clip(camera: VirtualCamera, number: str) -> Clip:
    """Return a clip; blocks for some 0.2 s (H.264) to 1 s (H.265): call it in a thread.

    Args:
        camera: its codec, size, rate and noise.
        number: digits, dashes and spaces that tell whose picture it is.
    """
    codec, width, height, frame_rate = camera.codec, camera.width, camera.height, camera.frame_rate
    context = av.CodecContext.create(_ENCODERS[codec], "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base = Fraction(1, frame_rate)
    context.framerate = Fraction(frame_rate, 1)
    context.gop_size = camera.gov_length
    context.max_b_frames = 0
    context.options = _OPTIONS[codec]
    whole: list[bytes] = []
    sets: list[bytes] = []
    for index in range(SECONDS * frame_rate):
        frame = _picture(camera, number, index)
        frame.pts = index
        whole += [bytes(packet) for packet in context.encode(frame)]
    whole += [bytes(packet) for packet in context.encode(None)]
    pictures = tuple(_packets(codec, data, sets) for data in whole)
    chosen = Format(
        PAYLOAD_TYPE, codec, CLOCK_RATE, None, "packetization-mode=1" if codec == "H264" else None
    )
    return Clip(describe(chosen, sets), pictures, tuple(whole), frame_rate, context.gop_size)


def _packets(codec: str, data: bytes, sets: list[bytes]) -> tuple[Packet, ...]:
    units = split_units(data)
    if not sets:
        sets += units
    parts = [part for unit in units for part in payloads(codec, unit)]
    return tuple(Packet(part, is_last=place == len(parts)) for place, part in enumerate(parts, start=1))


def _picture(camera: VirtualCamera, number: str, index: int) -> VideoFrame:
    width, height, frame_rate = camera.width, camera.height, camera.frame_rate
    luma = bytearray(b"\x38" * (width * height))
    # A bar that moves: a picture that stands still shows at once.
    at = index * 6 % (width - 24)
    for row in range(height // 2, height // 2 + height // 6):
        luma[row * width + at : row * width + at + 24] = b"\xc8" * 24
    if camera.noise:
        top = height // 4 * width
        luma[top : top + camera.noise * width] = Random(index).randbytes(camera.noise * width)  # noqa: S311 - a picture
    unit = max(2, width // 160)
    _write(luma, width, number, 8 * unit, 6 * unit, unit)
    seconds = index // frame_rate
    _write(luma, width, f"{seconds // 60:02d}-{seconds % 60:02d}", 8 * unit, height - 18 * unit, unit)
    _write(luma, width, f"{index:06d}", width - 60 * unit, height - 18 * unit, unit)
    frame = VideoFrame(width, height, "yuv420p")
    for plane, data in zip(
        frame.planes,
        (bytes(luma), *(bytes((tone,)) * (width * height // 4) for tone in (150, 110))),
        strict=True,
    ):
        plane.update(_padded(data, plane.width, plane.height, plane.line_size))
    return frame


def _padded(data: bytes, width: int, height: int, line_size: int) -> bytes:
    if line_size == width:
        return data
    fill = b"\0" * (line_size - width)
    return b"".join(data[row * width : (row + 1) * width] + fill for row in range(height))


def _write(luma: bytearray, width: int, text: str, left: int, top: int, unit: int) -> None:
    """Draw figures 6 units wide and 10 high, 8 units apart."""
    for place, sign in enumerate(text):
        x = left + 8 * unit * place
        if x + 6 * unit > width:
            return
        for segment in _SEGMENTS.get(sign, ""):
            across, down, wide, high = _BARS[segment]
            for row in range(top + down * unit, top + (down + high) * unit):
                start = row * width + x + across * unit
                luma[start : start + wide * unit] = b"\xeb" * (wide * unit)


_BARS: Final = {
    "a": (0, 0, 5, 1),
    "b": (4, 0, 1, 5),
    "c": (4, 4, 1, 5),
    "d": (0, 8, 5, 1),
    "e": (0, 4, 1, 5),
    "f": (0, 0, 1, 5),
    "g": (0, 4, 5, 1),
}
"""Left, top, width and height of each segment, in units."""
