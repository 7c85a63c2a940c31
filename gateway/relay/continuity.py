"""Changes of a stream under way: what can be seen, what it is called, what is done about it. Sans-IO.

Nothing here costs anything a packet: where pictures begin, the RTP header is compared with that of the picture
before, given how many packets lay between. `parameters` looks into key pictures, `changes` acts.
"""

import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Flag, StrEnum, auto
from types import MappingProxyType
from typing import Final

from gateway.relay.chunk import HEADER, MediaChunk, Run

MAX_DROPOUT: Final = 3000
"""Packets missing before a picture that count as lost; more are a jump (RFC 3550, A.1)."""
MAX_MISORDER: Final = 100
"""Packets too many before a picture that count as repeated or out of order; more are a jump (RFC 3550, A.1)."""
JITTER: Final = 2.0
"""Seconds by which a timestamp may fall behind the last one; and any time as far as the last but one maximum, for
B-frames are sent behind the picture that they precede."""
FORWARD: Final = 5.0
"""Seconds by which a timestamp may run ahead of its own arrival, and besides:"""
MAX_REORDERED: Final = 16
"""Pictures that B-frames put in front of others (H.264, A.3.1: no decoder holds back more)."""
STILL: Final = 5000
"""Packets of one picture above which its timestamp is taken to stand still: 7 MB."""
_LINE: Final = struct.Struct(">HII")
_LINE_AT: Final = HEADER + 2


class Finding(StrEnum):
    """What can be seen of a stream that does not simply go on."""

    PACKETS_LOST = "packets_lost"
    "The sequence passed over some numbers: over TCP, the camera's encoder was faster than its network."
    PACKETS_REPEATED = "packets_repeated"
    "More packets than numbers: sent twice, or out of order."
    SEQUENCE_JUMPED = "sequence_jumped"
    TIMESTAMP_JUMPED_FORWARD = "timestamp_jumped_forward"
    TIMESTAMP_JUMPED_BACK = "timestamp_jumped_back"
    TIMESTAMP_STANDS_STILL = "timestamp_stands_still"
    "No picture can be told from the next."
    ENCODER_RESTARTED = "encoder_restarted"
    "Sequence and timestamp jumped at the same picture."
    SSRC_CHANGED = "ssrc_changed"
    PAYLOAD_TYPE_FOREIGN = "payload_type_foreign"
    "Packets of another payload type among the video's."
    PAYLOAD_TYPE_CHANGED = "payload_type_changed"
    "Nothing but packets of another payload type, without a new description."
    CODEC_CHANGED = "codec_changed"
    "The source's new description names another codec than the last."
    PICTURE_FORMAT_CHANGED = "picture_format_changed"
    "Another size or profile in the parameter sets of a key picture."
    PARAMETER_SETS_CHANGED = "parameter_sets_changed"
    "Other parameter sets of the same size and profile."
    PARAMETER_SETS_UNDESCRIBED = "parameter_sets_undescribed"
    "The stream has the parameter sets that its description lacks."
    PARAMETER_SETS_DIFFER = "parameter_sets_differ"
    "The stream has other parameter sets than its description."
    PARAMETER_SETS_MISSING = "parameter_sets_missing"
    "A key picture, and neither description nor stream told what decodes it."
    STARTS_WITHOUT_KEY_PICTURE = "starts_without_key_picture"
    "Takers start at recovery points or intra pictures: the stream refreshes its pictures without IDR."


class Do(Flag):
    """What is done about a finding; whatever it is, it is counted by name and no packet is changed."""

    NOTHING = 0
    COUNT = auto()
    "Count it among the discontinuities of the relay."
    TELL = auto()
    "Report it to the control plane, the same thing at most once in `changes.TELL_AGAIN` seconds."
    FORGET = auto()
    "Forget the group of pictures kept: nobody shall start in front of the break."
    DESCRIBE = auto()
    "Offer takers that come from now on the parameter sets that the stream has."
    END = auto()
    """End the session in front of the picture, so that every taker begins anew on a new description; but never
    twice in `changes.END_AGAIN` seconds, for a camera with the habit would never be seen. Then: FORGET."""


_BREAK: Final = Do.COUNT | Do.TELL | Do.FORGET
_NEW_STREAM: Final = Do.COUNT | Do.TELL | Do.END

POLICIES: Final[Mapping[Finding, Do]] = MappingProxyType(
    {
        # Counted packet by packet in `lost_packets`; the decoder of each taker conceals them.
        Finding.PACKETS_LOST: Do.NOTHING,
        Finding.PACKETS_REPEATED: Do.NOTHING,
        # The same encoder goes on: what comes decodes as before, at another place in time.
        Finding.SEQUENCE_JUMPED: _BREAK,
        Finding.TIMESTAMP_JUMPED_FORWARD: _BREAK,
        Finding.TIMESTAMP_JUMPED_BACK: _BREAK,
        Finding.TIMESTAMP_STANDS_STILL: Do.TELL | Do.FORGET,
        # Another encoder, or the same one from its beginning: references and description may be others.
        Finding.ENCODER_RESTARTED: _NEW_STREAM,
        Finding.SSRC_CHANGED: _NEW_STREAM,
        Finding.PAYLOAD_TYPE_CHANGED: _NEW_STREAM,
        Finding.PICTURE_FORMAT_CHANGED: _NEW_STREAM | Do.DESCRIBE,
        # Takers end with each session anyway; told as `CodecChanged`, which names both.
        Finding.CODEC_CHANGED: Do.COUNT,
        Finding.PAYLOAD_TYPE_FOREIGN: Do.TELL,
        Finding.PARAMETER_SETS_CHANGED: Do.TELL | Do.DESCRIBE,
        Finding.PARAMETER_SETS_UNDESCRIBED: Do.DESCRIBE,
        Finding.PARAMETER_SETS_DIFFER: Do.TELL | Do.DESCRIBE,
        Finding.PARAMETER_SETS_MISSING: Do.TELL,
        Finding.STARTS_WITHOUT_KEY_PICTURE: Do.TELL,
    }
)


@dataclass(frozen=True)
class Seen:
    """A finding in one chunk."""

    finding: Finding
    offset: int
    "Of the picture in the chunk."
    detail: str = ""
    "Numbers for people."
    packets: int = 0
    "Packets lost."


class Continuity:
    """Compare the RTP headers of one session's pictures.

    Args:
        clock_rate: ticks of the timestamp in a second.
    """

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        # Ticks up to which a picture's timestamp needs no second look.
        self._calm = int(FORWARD * clock_rate)
        self._ssrc = -1
        self._sequence = 0
        self._timestamp = 0
        self._high = self._high_before = 0
        "The highest timestamp, and the highest in front of that picture."
        self.packets = 0
        "Video packets of the session up to now, foreign ones left out: as a rule they have numbers of their own."
        # Whoever passes over a run without pictures adds to it, and shows it where it would exceed `still_at`.
        self.still_at = STILL
        self._at_picture = 0
        "`packets` in front of the last picture."
        self._at = 0.0
        "When the last picture began to arrive, monotonic."
        self._foreign_told = self._changed_told = False

    def take(self, chunk: MediaChunk, run: Run) -> list[Seen]:
        """Return what is to be found in the next run of the stream; the hot path."""
        seen: list[Seen] = []
        for offset, before in zip(chunk.pictures, run.before, strict=True):
            line = sequence, timestamp, ssrc = _LINE.unpack_from(chunk.data, offset + _LINE_AT)
            packets = self.packets + before
            if packets > self.still_at:
                self._find_still(offset, seen)
            step = (sequence - self._sequence - packets + self._at_picture) & 0xFFFF
            ahead = (timestamp - self._timestamp) & 0xFFFFFFFF
            if step or ahead > self._calm or ssrc != self._ssrc:
                self._compare(line, step, chunk.at - self._at, offset, seen)
                self._ssrc = ssrc
            if (timestamp - self._high) & 0xFFFFFFFF < 0x80000000:
                self._high_before, self._high = self._high, timestamp
            self._sequence, self._timestamp, self._at = sequence, timestamp, chunk.at
            self._at_picture, self.still_at = packets, packets + STILL
        self.packets += run.video_packets - run.foreign
        if run.foreign:
            self._take_foreign(chunk, run, seen)
        if self.packets > self.still_at:
            self._find_still(len(chunk.data), seen)
        return seen

    def _find_still(self, offset: int, seen: list[Seen]) -> None:
        """Say once, until another picture begins, that none does."""
        self.still_at = sys.maxsize
        if self._ssrc >= 0:
            seen.append(Seen(Finding.TIMESTAMP_STANDS_STILL, offset, f"at {self._timestamp}"))

    def _compare(
        self, line: tuple[int, int, int], step: int, elapsed: float, offset: int, seen: list[Seen]
    ) -> None:
        """Say what the picture with the header `line` has that does not go on from the one before."""
        sequence, timestamp, ssrc = line
        if self._ssrc < 0:
            self._high = self._high_before = timestamp
            return
        if ssrc != self._ssrc:
            self._high = self._high_before = timestamp
            seen.append(Seen(Finding.SSRC_CHANGED, offset, f"{self._ssrc:08x} became {ssrc:08x}"))
            return
        missing = step - 0x10000 if step >= 0x8000 else step
        seconds = self._seconds_since(self._timestamp, timestamp)
        has_jumped = not -MAX_MISORDER <= missing <= MAX_DROPOUT
        is_back = seconds < -JITTER and self._seconds_since(self._high_before, timestamp) < 0
        is_forward = seconds > FORWARD + MAX_REORDERED * max(elapsed, 0.0)
        if is_back:
            self._high = self._high_before = timestamp
        if has_jumped and (is_back or is_forward):
            detail = f"sequence by {missing}, timestamp by {seconds:.1f} s"
            seen.append(Seen(Finding.ENCODER_RESTARTED, offset, detail))
            return
        if has_jumped:
            seen.append(Seen(Finding.SEQUENCE_JUMPED, offset, f"by {missing} to {sequence}"))
        elif missing > 0:
            seen.append(Seen(Finding.PACKETS_LOST, offset, packets=missing))
        elif missing < 0:
            seen.append(Seen(Finding.PACKETS_REPEATED, offset))
        if is_forward:
            seen.append(Seen(Finding.TIMESTAMP_JUMPED_FORWARD, offset, f"by {seconds:.1f} s"))
        elif is_back:
            seen.append(Seen(Finding.TIMESTAMP_JUMPED_BACK, offset, f"by {seconds:.1f} s"))

    def _seconds_since(self, before: int, timestamp: int) -> float:
        """Return how far `timestamp` is from `before`, whichever way round the 32 bits is shorter."""
        return ((timestamp - before + 0x80000000) % 0x100000000 - 0x80000000) / self._clock_rate

    def _take_foreign(self, chunk: MediaChunk, run: Run, seen: list[Seen]) -> None:
        if not self._foreign_told:
            self._foreign_told = True
            seen.append(Seen(Finding.PAYLOAD_TYPE_FOREIGN, len(chunk.data)))
        if run.is_foreign and not self._changed_told:
            self._changed_told = True
            seen.append(Seen(Finding.PAYLOAD_TYPE_CHANGED, len(chunk.data)))
