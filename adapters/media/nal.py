"""NAL units and key frames in RTP payloads of H.264 (RFC 6184), H.265 (RFC 7798) and JPEG (RFC 2435), sans-IO.

"Begins a key frame" means: the payload holds the first bytes of a coded picture from which decoding
can begin, or of the parameter sets that stand before one. A sink that starts at such a packet shows
a whole picture, provided the parameter sets are in the stream or in the description.
"""

from collections.abc import Iterator
from typing import Final

H264_SLICE: Final = 1
H264_IDR: Final = 5
H264_SEI: Final = 6
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
H265_PREFIX_SEI: Final = 39
H265_AP: Final = 48
H265_FU: Final = 49

Payload = bytes | bytearray | memoryview

_START_BIT: Final = 0x80
_RECOVERY_POINT: Final = 6
"""The SEI payload type, the same in H.264 (D.1.8) and H.265 (D.2.8)."""
_ESCAPE: Final = b"\0\0\3"


def is_key_frame_start(codec: str, payload: Payload) -> bool:
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


def holds_key_picture(codec: str, payload: Payload) -> bool:
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


def h264_units(payload: Payload) -> Iterator[tuple[int, Payload]]:
    """Yield type and content of the NAL units that begin in `payload`: what stands behind the unit's header.

    The content of a fragmented unit ends with the payload.
    """
    if len(payload) < 1:
        return
    kind = payload[0] & 0x1F
    if kind in (H264_STAP_A, H264_STAP_B):
        # STAP-B has a 16-bit decoding order number first (RFC 6184, 5.7.1).
        for unit in _aggregated(payload, 1 if kind == H264_STAP_A else 3):
            yield unit[0] & 0x1F, unit[1:]
    elif kind in (H264_FU_A, H264_FU_B):
        if len(payload) > 1 and payload[1] & _START_BIT:
            yield payload[1] & 0x1F, payload[2 if kind == H264_FU_A else 4 :]
    else:
        yield kind, payload[1:]


def h265_units(payload: Payload) -> Iterator[tuple[int, Payload]]:
    """Yield type and content of the NAL units that begin in `payload`, as `h264_units`."""
    if len(payload) < 2:
        return
    kind = (payload[0] >> 1) & 0x3F
    if kind == H265_AP:
        # Decoding order numbers (sprop-max-don-diff > 0) are not looked for: no camera interleaves.
        for unit in _aggregated(payload, 2):
            yield (unit[0] >> 1) & 0x3F, unit[2:]
    elif kind == H265_FU:
        if len(payload) > 2 and payload[2] & _START_BIT:
            yield payload[2] & 0x3F, payload[3:]
    else:
        yield kind, payload[2:]


def fragment_kind(codec: str, payload: Payload) -> int | None:
    """Return the type of the NAL unit that `payload` is a fragment of, whichever, or None where it is none.

    Raises:
        ValueError: `codec` is neither `H264` nor `H265`.
    """
    match codec:
        case "H264":
            is_fragment = len(payload) > 1 and payload[0] & 0x1F in (H264_FU_A, H264_FU_B)
            return payload[1] & 0x1F if is_fragment else None
        case "H265":
            is_fragment = len(payload) > 2 and payload[0] >> 1 & 0x3F == H265_FU
            return payload[2] & 0x3F if is_fragment else None
        case _:
            raise ValueError(f"no NAL units known in {codec!r}")


def whole_units(codec: str, payload: Payload) -> list[bytes]:
    """Return the NAL units that stand whole in `payload`, headers included; fragments are left out.

    Raises:
        ValueError: `codec` is neither `H264` nor `H265`.
    """
    if not len(payload):
        return []
    match codec:
        case "H264":
            kind = payload[0] & 0x1F
            first = {H264_STAP_A: 1, H264_STAP_B: 3}.get(kind)
            is_fragment = kind in (H264_FU_A, H264_FU_B)
        case "H265":
            kind = payload[0] >> 1 & 0x3F
            first = 2 if kind == H265_AP else None
            is_fragment = kind == H265_FU
        case _:
            raise ValueError(f"no NAL units known in {codec!r}")
    if first is not None:
        return [bytes(unit) for unit in _aggregated(payload, first)]
    return [] if is_fragment else [bytes(payload)]


def slice_kind(codec: str, payload: Payload) -> int | None:
    """Return the type of the first NAL unit in `payload` that begins a slice, or None where none does.

    Raises:
        ValueError: `codec` is neither `H264` nor `H265`.
    """
    match codec:
        case "H264":
            return next((kind for kind in _h264_types(payload) if H264_SLICE <= kind <= H264_IDR), None)
        case "H265":
            return next((kind for kind in _h265_types(payload) if kind < H265_VPS), None)
        case _:
            raise ValueError(f"no NAL units known in {codec!r}")


def is_key_slice(codec: str, kind: int) -> bool:
    """Return whether a slice of NAL unit type `kind` is part of a key picture: IDR, or IRAP in H.265."""
    return kind == H264_IDR if codec == "H264" else H265_IRAP_FIRST <= kind <= H265_IRAP_LAST


def is_intra_slice(content: Payload) -> bool:
    """Return whether the H.264 slice with this content is of type I or SI (H.264, 7.3.3 and table 7-6)."""
    bits = int.from_bytes(bytes(content[:8]).ljust(8, b"\0"), "big")
    at = 64
    for is_type in (False, True):
        zeros = at - (bits & ((1 << at) - 1)).bit_length()
        at -= 2 * zeros + 1
        if at < 0:
            return False
        if is_type:
            return ((bits >> at & ((2 << zeros) - 1)) - 1) % 5 in (2, 4)
    return False


def holds_recovery_point(content: Payload) -> bool:
    """Return whether the SEI unit with this content holds a recovery point message (H.264, 7.3.2.3.1).

    A recovery point is where decoding can begin in a stream of intra refresh, which has no key pictures.
    """
    if (
        len(content) > 1
        and content[0] not in (_RECOVERY_POINT, 0xFF)
        and len(content) - 3 <= content[1] < 0xFF
    ):
        # The usual case, quickly: one message of another type.
        return False
    data = bytes(content[:512])
    if _ESCAPE in data:
        data = data.replace(_ESCAPE, b"\0\0")
    at = 0
    while at + 1 < len(data):
        kind, at = _sei_number(data, at)
        if kind == _RECOVERY_POINT:
            return True
        size, at = _sei_number(data, at)
        at += size
    return False


def _sei_number(data: bytes, at: int) -> tuple[int, int]:
    """Read a type or size: bytes of 255 and a last one, added up; return it and the offset behind."""
    value = 0
    while at < len(data) and data[at] == 0xFF:
        value, at = value + 0xFF, at + 1
    return (value + data[at], at + 1) if at < len(data) else (value, at)


def _h264_types(payload: Payload) -> Iterator[int]:
    return (kind for kind, _ in h264_units(payload))


def _h265_types(payload: Payload) -> Iterator[int]:
    return (kind for kind, _ in h265_units(payload))


def _aggregated(payload: Payload, at: int) -> Iterator[Payload]:
    """Yield each aggregated NAL unit; stop where a size leads out of the payload."""
    while at + 2 < len(payload):
        size = int.from_bytes(payload[at : at + 2], "big")
        if size == 0 or at + 2 + size > len(payload):
            return
        yield payload[at + 2 : at + 2 + size]
        at += 2 + size


def _begins_jpeg(payload: Payload) -> bool:
    """Return whether the fragment offset is zero (RFC 2435, 3.1): every JPEG frame is a key frame."""
    return len(payload) >= 8 and not any(payload[1:4])
