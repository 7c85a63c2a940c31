"""Parameter sets of H.264 and H.265: what they say of the picture, and how descriptions carry them. Sans-IO."""

import base64
import binascii
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from adapters.media.sdp import Format

MAX_SIZE: Final = 16384
"""Pixels; larger widths and heights are no camera's."""

_PROFILES: Final = MappingProxyType(
    {
        ("H264", 44): "CAVLC 4:4:4 Intra",
        ("H264", 66): "Baseline",
        ("H264", 77): "Main",
        ("H264", 88): "Extended",
        ("H264", 100): "High",
        ("H264", 110): "High 10",
        ("H264", 122): "High 4:2:2",
        ("H264", 244): "High 4:4:4 Predictive",
        ("H265", 1): "Main",
        ("H265", 2): "Main 10",
        ("H265", 3): "Main Still Picture",
        ("H265", 4): "Format Range Extensions",
    }
)
_SPROPS: Final = MappingProxyType(
    {"H264": ("sprop-parameter-sets",), "H265": ("sprop-vps", "sprop-sps", "sprop-pps")}
)
# H.264, 7.3.2.1.1: the profiles whose parameter sets tell the chroma format.
_WITH_CHROMA: Final = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})


@dataclass(frozen=True)
class PictureFormat:
    """What a sequence parameter set says."""

    codec: str
    "`H264` or `H265`."
    profile: str
    "The standard's name, or its number where that is another one."
    width: int
    "Pixels as shown, cropping taken off."
    height: int
    is_interlaced: bool
    "Whether pictures may be coded as fields (H.264 alone tells)."

    def __str__(self) -> str:
        fields = ", interlaced" if self.is_interlaced else ""
        return f"{self.codec} {self.profile}, {self.width} x {self.height}{fields}"


def parse_sps(codec: str, unit: bytes) -> PictureFormat:
    """Read a sequence parameter set.

    Args:
        codec: `H264` or `H265`.
        unit: the NAL unit with its header, emulation prevention bytes in place.

    Raises:
        ValueError: not a sequence parameter set of `codec`, or one that contradicts itself.
    """
    # H.264 and H.265, 7.3.1: a 3 behind two zeros is no content.
    bits = _Bits(unit.replace(b"\0\0\3", b"\0\0"))
    match codec:
        case "H264":
            return _parse_h264(bits)
        case "H265":
            return _parse_h265(bits)
        case _:
            raise ValueError(f"no parameter sets known in {codec!r}")


class _Bits:
    """Reads bits from the front."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def u(self, count: int) -> int:
        """Return the next `count` bits as a number.

        Raises:
            ValueError: there are not so many.
        """
        if count > self._left:
            raise ValueError("parameter set ends too early")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def ue(self) -> int:
        """Return the next Exp-Golomb code, at most 32 bits (H.264, 9.1)."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 31:
                raise ValueError("parameter set holds no Exp-Golomb code where one belongs")
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """Return the next signed Exp-Golomb code (H.264, 9.1.1)."""
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def _parse_h264(bits: _Bits) -> PictureFormat:
    """Read `seq_parameter_set_data` (H.264, 7.3.2.1.1) up to the cropping."""
    if bits.u(8) & 0x1F != 7:
        raise ValueError("not a sequence parameter set of H.264")
    profile = bits.u(8)
    bits.u(16)  # constraint flags and level
    bits.ue()
    chroma = _h264_chroma(bits) if profile in _WITH_CHROMA else 1
    bits.ue()  # log2_max_frame_num_minus4
    _skip_order_count(bits)
    bits.ue()  # max_num_ref_frames
    bits.u(1)
    macroblocks = bits.ue() + 1
    map_units = bits.ue() + 1
    frames_only = bits.u(1)
    if not frames_only:
        bits.u(1)
    bits.u(1)  # direct_8x8_inference_flag
    crop_x, crop_y = (1 if chroma in (0, 3) else 2), (2 if chroma == 1 else 1) * (2 - frames_only)
    width, height = _cropped(bits, 16 * macroblocks, 16 * map_units * (2 - frames_only), (crop_x, crop_y))
    return PictureFormat("H264", _profile("H264", profile), width, height, not frames_only)


def _h264_chroma(bits: _Bits) -> int:
    """Read from `chroma_format_idc` to the scaling lists; return the chroma format, 0 for separate planes."""
    chroma = bits.ue()
    if chroma > 3:
        raise ValueError(f"chroma format {chroma}")
    is_separate = chroma == 3 and bits.u(1)
    bits.ue()
    bits.ue()
    bits.u(1)
    if bits.u(1):
        for index in range(8 if chroma != 3 else 12):
            if bits.u(1):
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    return 0 if is_separate else chroma


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    """Read `scaling_list` (H.264, 7.3.2.1.1.1)."""
    scale = following = 8
    for _ in range(size):
        if following:
            following = (scale + bits.se()) % 256
        scale = following or scale


def _skip_order_count(bits: _Bits) -> None:
    kind = bits.ue()
    if kind == 0:
        bits.ue()
    elif kind == 1:
        bits.u(1)
        bits.se()
        bits.se()
        cycle = bits.ue()
        if cycle > 255:
            raise ValueError(f"picture order cycle of {cycle}")
        for _ in range(cycle):
            bits.se()


def _parse_h265(bits: _Bits) -> PictureFormat:
    """Read `seq_parameter_set_rbsp` (H.265, 7.3.2.2.1) up to the conformance window."""
    if bits.u(16) >> 9 & 0x3F != 33:
        raise ValueError("not a sequence parameter set of H.265")
    bits.u(4)
    sub_layers = bits.u(3)
    bits.u(1)
    bits.u(3)  # general_profile_space, general_tier_flag
    profile = bits.u(5)
    bits.u(32)
    bits.u(48)  # constraint flags
    bits.u(8)  # general_level_idc
    _skip_sub_layers(bits, sub_layers)
    bits.ue()
    chroma = bits.ue()
    if chroma > 3:
        raise ValueError(f"chroma format {chroma}")
    if chroma == 3 and bits.u(1):
        chroma = 0
    width, height = bits.ue(), bits.ue()
    # Table 6-1: units of the window in luma samples.
    crop = (2 if chroma in (1, 2) else 1, 2 if chroma == 1 else 1)
    width, height = _cropped(bits, width, height, crop)
    return PictureFormat("H265", _profile("H265", profile), width, height, is_interlaced=False)


def _skip_sub_layers(bits: _Bits, count: int) -> None:
    """Read the sub-layer part of `profile_tier_level` (H.265, 7.3.3)."""
    present = [(bits.u(1), bits.u(1)) for _ in range(count)]
    if count:
        bits.u(2 * (8 - count))
    for has_profile, has_level in present:
        bits.u(88 * has_profile + 8 * has_level)


def _cropped(bits: _Bits, width: int, height: int, unit: tuple[int, int]) -> tuple[int, int]:
    """Read the cropping rectangle; return the size that is left."""
    if bits.u(1):
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
        width -= unit[0] * (left + right)
        height -= unit[1] * (top + bottom)
    if not (0 < width <= MAX_SIZE and 0 < height <= MAX_SIZE):
        raise ValueError("parameter set of no possible size")
    return width, height


def _profile(codec: str, number: int) -> str:
    return _PROFILES.get((codec, number), str(number))


def described(chosen: Format) -> tuple[bytes, ...]:
    """Return the NAL units that a description holds (RFC 6184, 8.1; RFC 7798, 7.1); broken ones are left out."""
    parameters = dict(_split(chosen.parameters))
    units = []
    for name in _SPROPS.get(chosen.encoding, ()):
        for text in parameters.get(name, "").split(","):
            try:
                unit = base64.b64decode(text.strip(), validate=True)
            except (binascii.Error, ValueError):
                # The stream may hold good ones; the decoder judges.
                continue
            if unit:
                units.append(unit)
    return tuple(units)


def describe(chosen: Format, units: Sequence[bytes]) -> Format:
    """Return `chosen` with the parameter sets `units` in place of its own.

    Args:
        chosen: of H.264 or H.265.
        units: NAL units; other kinds than parameter sets are left out.

    Raises:
        ValueError: no parameter sets are known in this codec.
    """
    match chosen.encoding:
        case "H264":
            added = _describe_h264([unit for unit in units if unit and unit[0] & 0x1F in (7, 8)])
        case "H265":
            kinds = zip(_SPROPS["H265"], (32, 33, 34), strict=True)
            added = {
                name: _listed(u for u in units if u and u[0] >> 1 & 0x3F == kind) for name, kind in kinds
            }
        case other:
            raise ValueError(f"no parameter sets known in {other!r}")
    kept = [
        (name, value) for name, value in _split(chosen.parameters, lower=False) if name.lower() not in added
    ]
    texts = [f"{name}={value}" if value else name for name, value in (*kept, *added.items())]
    return replace(chosen, parameters=";".join(texts))


def _describe_h264(units: Sequence[bytes]) -> dict[str, str]:
    first = next((unit for unit in units if unit[0] & 0x1F == 7 and len(unit) > 3), None)
    level = {"profile-level-id": first[1:4].hex()} if first is not None else {}
    return {**level, "sprop-parameter-sets": _listed(units)}


def _listed(units: Iterable[bytes]) -> str:
    return ",".join(base64.b64encode(unit).decode() for unit in units)


def _split(parameters: str | None, *, lower: bool = True) -> Iterator[tuple[str, str]]:
    for part in (parameters or "").split(";"):
        name, _, value = part.partition("=")
        if name.strip():
            yield (name.strip().lower() if lower else name.strip()), value.strip()
