"""One coded picture as JPEG, small enough for a page. Blocks for some 20 ms: call it in a thread."""

import io
from typing import Final

import av
import av.error
import av.logging
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from gateway.relay.picture import MAX_PIXELS

WIDEST: Final = 1280
"""Pixels; larger pictures are made smaller."""

_DECODERS: Final = {"H264": "h264", "H265": "hevc", "JPEG": "mjpeg"}


def to_jpeg(codec: str, data: bytes) -> tuple[bytes, int, int]:
    """Return a key picture as a JPEG file, and its width and height.

    Args:
        codec: `H264`, `H265` or `JPEG`.
        data: Annex B with parameter sets, or a JPEG file.

    Raises:
        ValueError: it cannot be decoded.
    """
    av.logging.set_level(av.logging.PANIC)
    try:
        picture = _decode(codec, data)
        return _encode(picture)
    except av.error.FFmpegError as error:
        raise ValueError(f"not decodable: {error.strerror}") from error


def _decode(codec: str, data: bytes) -> VideoFrame:
    context = av.CodecContext.create(_DECODERS[codec], "r")
    assert isinstance(context, VideoCodecContext)
    context.thread_count = 1
    context.options = {"max_pixels": str(MAX_PIXELS)}
    for packet in (av.Packet(data), None):
        for picture in context.decode(packet):
            if picture.width and picture.height:
                return picture
    raise ValueError("the decoder gave no picture")


def _encode(picture: VideoFrame) -> tuple[bytes, int, int]:
    width, height = picture.width, picture.height
    if width > WIDEST:
        width, height = WIDEST, max(2, height * WIDEST // width // 2 * 2)
    small = picture.reformat(width=width, height=height, format="yuvj420p")
    file = io.BytesIO()
    with av.open(file, "w", format="image2pipe") as output:
        stream = output.add_stream("mjpeg")
        stream.width, stream.height, stream.pix_fmt = width, height, "yuvj420p"
        # Between 2 (best) and 31.
        stream.codec_context.options = {"qmin": "4", "qmax": "6"}
        for packet in (*stream.encode(small), *stream.encode(None)):
            output.mux(packet)
    return file.getvalue(), width, height
