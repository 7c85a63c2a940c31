"""The parameter sets that a stream carries: gathered in the heads of its key pictures, compared. Sans-IO."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from adapters.media import nal
from adapters.media.parameter_sets import PictureFormat, describe, described, parse_sps
from adapters.media.sdp import Format
from gateway.relay.chunk import HEADER, MediaChunk, payload_of
from gateway.relay.continuity import Finding, Seen

MAX_FRAMES: Final = 64
"""Frames of a key picture that are searched for its first slice."""
MAX_UNITS: Final = 64
"""NAL units of one head, or of one description, that are looked at."""
MAX_UNIT: Final = 4096
"""Bytes of one parameter set."""

NEEDED: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {"H264": (nal.H264_SPS, nal.H264_PPS), "H265": (nal.H265_VPS, nal.H265_SPS, nal.H265_PPS)}
)
"""NAL unit types without which nothing decodes, in the order of a description. JPEG needs none."""

Sets = dict[int, tuple[bytes, ...]]
"""NAL units by type."""


def lacks_parameter_sets(chosen: Format) -> bool:
    """Return whether the description `chosen` lacks parameter sets that its codec needs."""
    found = by_type(chosen.encoding, described(chosen))
    return any(kind not in found for kind in NEEDED.get(chosen.encoding, ()))


def by_type(codec: str, units: Sequence[bytes]) -> Sets:
    """Return those of `units` that are parameter sets, by type, each once: encoder and packetizer may both add them."""
    found: Sets = {}
    for whole in units[:MAX_UNITS]:
        # A NAL unit ends in no zero byte (H.264 and H.265, 7.4.1); what some add behind is none of it.
        unit = whole.rstrip(b"\0")
        if not 1 < len(unit) <= MAX_UNIT:
            continue
        kind = unit[0] & 0x1F if codec == "H264" else unit[0] >> 1 & 0x3F
        if kind in NEEDED.get(codec, ()) and unit not in found.get(kind, ()):
            found[kind] = (*found.get(kind, ()), unit)
    return found


class ParameterWatch:
    """Watch the parameter sets of one session.

    Args:
        channel: of the video's RTP.
        chosen: the video as described.
    """

    def __init__(self, channel: int, chosen: Format) -> None:
        self._channel = channel
        self._chosen = chosen
        self._codec: Final = chosen.encoding
        self._needed: Final = NEEDED.get(chosen.encoding, ())
        self._described = by_type(self._codec, described(chosen))
        self._sets: Sets = {}
        "As the stream has them."
        self._gathered: list[bytes] = []
        self._frames = 0
        self.is_open = False
        "Whether the head of a key picture is under way: the next chunk has more of it."
        self._format: PictureFormat | None = None
        self.formats: list[tuple[int, PictureFormat]] = []
        "Offset of the picture and what it is from there on: the changes in the last run taken."
        self._told: set[Finding] = set()

    def take(self, chunk: MediaChunk) -> list[Seen]:
        """Return what is to be found in a run that holds a key picture, or the rest of one's head."""
        seen: list[Seen] = []
        self.formats = []
        if self._needed:
            heads = [0] if self.is_open else []
            for key in [*heads, *chunk.keys]:
                self._read_head(chunk.data, key, seen)
        return seen

    def offered(self) -> Format:
        """Return the description for takers: as the source gave it, with the parameter sets that the stream has."""
        known = {**self._described, **self._sets}
        if any(kind not in known for kind in self._needed):
            return self._chosen
        return describe(self._chosen, [unit for kind in self._needed for unit in known[kind]])

    def _read_head(self, data: bytes, at: int, seen: list[Seen]) -> None:
        """Gather from `at` on until a slice comes, then judge."""
        if at or not self.is_open:
            self._gathered, self._frames = [], 0
        self.is_open, key = True, at
        with memoryview(data) as view:
            while at < len(data) and self.is_open:
                after = at + HEADER + (data[at + 2] << 8 | data[at + 3])
                self._frames += 1
                is_video = data[at + 1] == self._channel and after - at > HEADER + 1
                if is_video and data[at + HEADER + 1] & 0x7F == self._chosen.payload_type:
                    self._read(bytes(payload_of(view[at + HEADER : after])), key, seen)
                if self._frames >= MAX_FRAMES:
                    self.is_open = False
                at = after

    def _read(self, payload: bytes, key: int, seen: list[Seen]) -> None:
        self._gathered += nal.whole_units(self._codec, payload)[: MAX_UNITS - len(self._gathered)]
        kind = nal.slice_kind(self._codec, payload)
        if kind is not None:
            self.is_open = False
            self._judge(kind, key, seen)

    def _judge(self, kind: int, offset: int, seen: list[Seen]) -> None:
        """Compare what one head held with what was known; its first slice is of NAL unit type `kind`."""
        found = by_type(self._codec, self._gathered)
        before, self._sets = self._sets, {**self._sets, **found}
        if not nal.is_key_slice(self._codec, kind):
            self._note(Finding.STARTS_WITHOUT_KEY_PICTURE, offset, seen)
        if any(kind not in self._sets and kind not in self._described for kind in self._needed):
            self._note(Finding.PARAMETER_SETS_MISSING, offset, seen)
        old, new = self._format, self._read_format()
        if new is not None and new != old:
            self._format = new
            self.formats.append((offset, new))
        if self._sets == before:
            return
        if not before:
            if any(kind not in self._described for kind in self._needed):
                self._note(Finding.PARAMETER_SETS_UNDESCRIBED, offset, seen)
            elif any(self._described[kind] != units for kind, units in self._sets.items()):
                self._note(Finding.PARAMETER_SETS_DIFFER, offset, seen)
        elif old is not None and new is not None and old != new:
            seen.append(Seen(Finding.PICTURE_FORMAT_CHANGED, offset, f"{old} became {new}"))
        elif all(kind in before for kind in found):
            seen.append(Seen(Finding.PARAMETER_SETS_CHANGED, offset))
        else:
            seen.append(Seen(Finding.PARAMETER_SETS_UNDESCRIBED, offset))

    def _note(self, finding: Finding, offset: int, seen: list[Seen]) -> None:
        """Note what holds for the whole session once."""
        if finding not in self._told:
            self._told.add(finding)
            seen.append(Seen(finding, offset))

    def _read_format(self) -> PictureFormat | None:
        kind = nal.H264_SPS if self._codec == "H264" else nal.H265_SPS
        for unit in self._sets.get(kind) or self._described.get(kind, ()):
            try:
                return parse_sps(self._codec, unit)
            except ValueError:
                # What our reading does not understand a decoder may; the bytes are passed on all the same.
                continue
        return None
