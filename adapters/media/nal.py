"""Key frames in RTP payloads of H.264 (RFC 6184), H.265 (RFC 7798) and JPEG (RFC 2435), sans-IO.

"Begins a key frame" means: the payload holds the first bytes of a coded picture from which decoding
can begin, or of the parameter sets that stand before one. A sink that starts at such a packet shows
a whole picture, provided the parameter sets are in the stream or in the description.
"""

from collections.abc import Iterator
from typing import Final

H264_IDR: Final = 5
H264_SPS: Final = 7
H264_PPS: Final = 8
H264_STAP_A: Final = 24
H264_STAP_B: Final = 25
H264_FU_A: Final = 28
H264_FU_B: Final = 29
H265_IRAP_FIRST: Final = 16
H265_IRAP_LAST: Final = 21
"BLA, IDR and CRA pictures; 22 and 23 are reserved (H.265, table 7-1)."
H265_VPS: Final = 32
H265_SPS: Final = 33
H265_PPS: Final = 34
H265_AP: Final = 48
H265_FU: Final = 49

_START_BIT: Final = 0x80


def is_key_frame_start(codec: str, payload: bytes | bytearray | memoryview) -> bool:
    """Return whether an RTP payload begins a key frame or the parameter sets before it.

    Args:
        codec: `H264`, `H265` or `JPEG`.
        payload: of one RTP packet, without header and padding. Whatever bytes it holds, the answer
            is only ever true or false.

    Raises:
        ValueError: `codec` is another one.
    """
    match codec:
        case "H264":
            return any(t in (H264_IDR, H264_SPS) for t in _h264_types(payload))
        case "H265":
            return any(_is_h265_start(t) for t in _h265_types(payload))
        case "JPEG":
            return _begins_jpeg(payload)
        case _:
            raise ValueError(f"no key frames known in {codec!r}")


def holds_key_picture(codec: str, payload: bytes | bytearray | memoryview) -> bool:
    """Return whether an RTP payload begins the key picture itself, parameter sets not counted.

    Raises:
        ValueError: `codec` is neither `H264`, `H265` nor `JPEG`.
    """
    match codec:
        case "H264":
            return H264_IDR in _h264_types(payload)
        case "H265":
            return any(H265_IRAP_FIRST <= t <= H265_IRAP_LAST for t in _h265_types(payload))
        case "JPEG":
            return _begins_jpeg(payload)
        case _:
            raise ValueError(f"no key frames known in {codec!r}")


def _is_h265_start(nal_type: int) -> bool:
    return H265_IRAP_FIRST <= nal_type <= H265_IRAP_LAST or nal_type in (H265_VPS, H265_SPS)


def _h264_types(payload: bytes | bytearray | memoryview) -> Iterator[int]:
    """Yield the types of the NAL units that begin in `payload`."""
    if len(payload) < 1:
        return
    kind = payload[0] & 0x1F
    if kind in (H264_STAP_A, H264_STAP_B):
        # STAP-B has a 16-bit decoding order number first (RFC 6184, 5.7.1).
        yield from (first & 0x1F for first in _aggregated(payload, 1 if kind == H264_STAP_A else 3))
    elif kind in (H264_FU_A, H264_FU_B):
        if len(payload) > 1 and payload[1] & _START_BIT:
            yield payload[1] & 0x1F
    else:
        yield kind


def _h265_types(payload: bytes | bytearray | memoryview) -> Iterator[int]:
    if len(payload) < 2:
        return
    kind = (payload[0] >> 1) & 0x3F
    if kind == H265_AP:
        # Decoding order numbers (sprop-max-don-diff > 0) are not looked for: no camera interleaves.
        yield from ((first >> 1) & 0x3F for first in _aggregated(payload, 2))
    elif kind == H265_FU:
        if len(payload) > 2 and payload[2] & _START_BIT:
            yield payload[2] & 0x3F
    else:
        yield kind


def _aggregated(payload: bytes | bytearray | memoryview, at: int) -> Iterator[int]:
    """Yield the first byte of each aggregated NAL unit; stop where a size leads out of the payload."""
    while at + 2 < len(payload):
        size = int.from_bytes(payload[at : at + 2], "big")
        if size == 0 or at + 2 + size > len(payload):
            return
        yield payload[at + 2]
        at += 2 + size


def _begins_jpeg(payload: bytes | bytearray | memoryview) -> bool:
    """Return whether the fragment offset is zero (RFC 2435, 3.1): every JPEG frame is a key frame."""
    return len(payload) >= 8 and not any(payload[1:4])
