"""Key pictures: tell them from others by their first packet, cut one out, decode it once. Sans-IO."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from adapters.media import nal
from adapters.media.assembly import START_CODE, annex_b
from adapters.media.parameter_sets import described
from adapters.media.sdp import Format
from gateway.relay import jpeg
from gateway.relay.chunk import HEADER, Classifier, Head, MediaChunk, payload_of

MAX_KEY_FRAME: Final = 4 * 1024 * 1024
"""Most bytes of one key picture that is cut out for decoding."""
MAX_PIXELS: Final = 8192 * 8192
"""Larger pictures are refused by the decoder: its memory is the worker's."""

_DECODERS: Final = {"H264": "h264", "H265": "hevc", "JPEG": "mjpeg"}
# What may stand before a picture's first slice, parameter sets aside: SEI, delimiter, ends of sequence and stream,
# filler, SPS extension, prefix and subset SPS of the scalable kinds.
_H264_BEFORE_SLICES: Final = frozenset({nal.H264_SEI, nal.H264_PPS, 9, 10, 11, 12, 13, 14, 15})
_SLICE_BEGINS: Final = 0x80 | nal.H264_SLICE
"""Start bit and type of a fragmented slice in its FU header (RFC 6184, 5.8)."""
_H265_BEFORE_SLICES: Final = frozenset(range(nal.H265_VPS, 41))


def classifier(codec: str) -> Classifier:
    """Return what tells the key pictures of `codec`: `H264`, `H265` or `JPEG`."""
    return {"H264": _h264_head, "H265": _h265_head, "JPEG": _jpeg_head}[codec]


def _h264_head(payload: memoryview, before: Head) -> Head:
    """Tell a picture by its first slice: some cameras send parameter sets before every picture.

    Two kinds of picture without IDR are starts all the same: one with a recovery point (open groups of pictures,
    intra refresh), and an intra picture with parameter sets before it.
    """
    # Most pictures by far begin like these, so they are told quickly.
    kind = payload[0] & 0x1F if len(payload) > 1 else 0
    if kind == nal.H264_SEI:
        return Head.KEY if nal.holds_recovery_point(payload[1:]) else before
    is_slice = kind == nal.H264_SLICE or (kind == nal.H264_FU_A and payload[1] & 0x9F == _SLICE_BEGINS)
    if is_slice and before is not Head.PARAMETERS:
        return Head.OTHER
    return _h264_head_of_units(payload, before)


def _h264_head_of_units(payload: memoryview, before: Head) -> Head:
    # The rest of a fragmented SEI message tells no more than its beginning.
    head = before if nal.fragment_kind("H264", payload) in _H264_BEFORE_SLICES else Head.OTHER
    for kind, content in nal.h264_units(payload):
        if kind == nal.H264_IDR or (kind == nal.H264_SEI and nal.holds_recovery_point(content)):
            return Head.KEY
        if kind == nal.H264_SPS:
            head = before = Head.PARAMETERS
        elif kind in _H264_BEFORE_SLICES:
            head = before
        elif kind == nal.H264_SLICE and before is Head.PARAMETERS and nal.is_intra_slice(content):
            return Head.KEY
        else:
            return Head.OTHER
    return head


def _h265_head(payload: memoryview, before: Head) -> Head:
    """Tell a picture by its first slice, as `_h264_head`; slice types stand too deep in H.265 to be read here."""
    head = before if nal.fragment_kind("H265", payload) in _H265_BEFORE_SLICES else Head.OTHER
    for kind, content in nal.h265_units(payload):
        if nal.H265_IRAP_FIRST <= kind <= nal.H265_IRAP_LAST:
            return Head.KEY
        if kind == nal.H265_PREFIX_SEI and nal.holds_recovery_point(content):
            return Head.KEY
        if kind not in _H265_BEFORE_SLICES:
            return Head.OTHER
        head = before
    return head


def _jpeg_head(payload: memoryview, before: Head) -> Head:  # noqa: ARG001 - every picture is a key picture
    return Head.KEY if nal.is_key_frame_start("JPEG", payload) else Head.OTHER


class KeyFrameCollector:
    """Cut one key picture out of the runs of a stream, whole, still in its frames."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self.takes_groups = False
        "Whether what follows is cut out, too, up to the next start: intra refresh needs many pictures for a whole one."

    def take(self, chunk: MediaChunk) -> bytes | None:
        """Take in the next run; return a key picture's frames once its end is known, else None.

        A picture ends where the next begins. What is longer than `MAX_KEY_FRAME` is given up.
        """
        if not self._parts:
            if not chunk.keys:
                return None
            chunk = chunk.since(chunk.keys[0])
            ends = chunk.keys[1:] if self.takes_groups else chunk.pictures[1:]
        else:
            ends = chunk.keys if self.takes_groups else chunk.pictures
        self._parts.append(chunk.data[: ends[0]] if ends else chunk.data)
        self._size += len(self._parts[-1])
        if ends:
            whole = b"".join(self._parts)
            self.clear()
            return whole
        if self._size > MAX_KEY_FRAME:
            self.clear()
        return None

    def clear(self) -> None:
        """Forget the picture under way."""
        self._parts.clear()
        self._size = 0


@dataclass(frozen=True)
class Decoded:
    """What decoding a key picture told; the picture itself is gone."""

    width: int
    height: int


def decode(frames: bytes, channel: int, chosen: Format) -> Decoded:
    """Decode one key picture, or the first whole one of a group; blocks for some 10 ms or more: call it in a thread.

    Args:
        frames: interleaved frames as `KeyFrameCollector` returns them.
        channel: that of the video's RTP.
        chosen: codec and its parameters as described.

    Raises:
        ValueError: the picture cannot be decoded.
    """
    # Imported here: 30 MB of memory that only a worker which verifies needs.
    import av
    import av.error
    import av.logging
    from av.video.codeccontext import VideoCodecContext

    av.logging.set_level(av.logging.PANIC)
    data = assemble(frames, channel, chosen)
    try:
        context = av.CodecContext.create(_DECODERS[chosen.encoding], "r")
        assert isinstance(context, VideoCodecContext)
        context.thread_count = 1
        context.options = {"max_pixels": str(MAX_PIXELS)}
        packets = (
            [av.Packet(data)] if chosen.encoding == "JPEG" else [*context.parse(data), *context.parse(b"")]
        )
        for packet in [*packets, None]:
            for picture in context.decode(packet):
                if not picture.is_corrupt and picture.width and picture.height:
                    return Decoded(picture.width, picture.height)
    except av.error.FFmpegError as error:
        raise ValueError(f"not decodable: {error.strerror}") from error
    raise ValueError("the decoder gave no whole picture")


def assemble(frames: bytes, channel: int, chosen: Format) -> bytes:
    """Return the picture in `frames` as its decoder wants it: Annex B, or a JPEG file.

    Raises:
        ValueError: the payloads do not fit together, or the codec is another one.
    """
    payloads = list(_payloads(frames, channel, chosen.payload_type))
    match chosen.encoding:
        case "H264" | "H265":
            return b"".join((*_described(chosen), *annex_b(chosen.encoding, payloads)))
        case "JPEG":
            return jpeg.assemble(payloads)
        case other:
            raise ValueError(f"no decoder for {other!r}")


def _payloads(frames: bytes, channel: int, payload_type: int) -> Iterator[bytes]:
    at = 0
    view = memoryview(frames)
    while at + HEADER <= len(frames):
        after = at + HEADER + int.from_bytes(frames[at + 2 : at + 4], "big")
        packet = view[at + HEADER : after]
        if frames[at + 1] == channel and len(packet) > 1 and packet[1] & 0x7F == payload_type:
            payload = bytes(payload_of(packet))
            if payload:
                yield payload
        at = after


def _described(chosen: Format) -> Iterator[bytes]:
    """Yield the parameter sets of the description: streams need not repeat them."""
    return (START_CODE + unit for unit in described(chosen))
