"""Walk the interleaved headers of one received chunk; find where pictures and key pictures begin.

Sans-IO. A chunk of a TCP connection holds whole `$` frames (RFC 2326, section 10.12), may end in the
middle of one and may hold RTSP messages between two. One loop over the 4-byte headers finds the runs
that can be passed on as they are. Packets are never cut out: that would cost four times the CPU.
"""

import struct
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import Enum
from typing import Final

MARK: Final = 0x24
HEADER: Final = 4
"""Bytes of `$`, channel and length."""
MAX_FRAME: Final = HEADER + 0xFFFF
MAX_HEARD: Final = 8
"""RTCP packets that wait for whoever reads them; a source sends one in seconds."""
MAX_HELD: Final = 8 * 1024
"""Most bytes of a picture's head (SEI, parameter sets) held back until its first slice tells what it is."""
FOREIGN_ROW: Final = 200
"""Packets of another payload type in a row, none of the video's own between, that make a change of it."""

_TIMESTAMP: Final = struct.Struct(">I")
_TIMESTAMP_OFFSET: Final = HEADER + 4
_RTP_HEADER: Final = 12


class Head(Enum):
    """What the first bytes of a picture say about it."""

    KEY = "key"
    OTHER = "other"
    UNDECIDED = "undecided"
    "Only SEI or delimiters so far: the next packet tells."
    PARAMETERS = "parameters"
    "Likewise, parameter sets among them: an intra slice behind them begins decoding, another one does not."


Classifier = Callable[[memoryview, Head], Head]
"""Classify a picture by one RTP payload at or near its beginning, given what the payloads of this picture before
it told (`UNDECIDED` for the first); bounded work, never raises."""


class Stop(Enum):
    """Why a run ended."""

    STARVED = "starved"
    "The rest is an incomplete frame, or nothing: more bytes are needed."
    MESSAGE = "message"
    "At `next` stands something other than a `$`: an RTSP message."
    SKIPPED = "skipped"
    "A frame on a channel that is not carried lies between `end` and `next`."


@dataclass(slots=True)
class Run:
    """A run of whole frames that can be passed on as it is."""

    start: int
    end: int
    next: int
    "Where to go on."
    stop: Stop
    pictures: list[int]
    "Offsets in the buffer where a picture begins."
    keys: list[int]
    "Those of `pictures` that are key pictures."
    video_packets: int
    before: list[int]
    "Of each of `pictures`, the video packets of this run in front of it, `foreign` ones left out."
    foreign: int = 0
    "Packets on the video's channel with another payload type, as far as they were looked at."
    is_foreign: bool = False
    "Whether the video's own payload type has made way for another one: `FOREIGN_ROW`."


@dataclass(frozen=True, slots=True)
class MediaChunk:
    """A run with bytes of its own: what sinks are given."""

    data: bytes
    pictures: tuple[int, ...]
    keys: tuple[int, ...]
    at: float
    "Monotonic receipt time."

    def since(self, offset: int) -> "MediaChunk":
        """Return the part from `offset` on, a picture's beginning."""
        return MediaChunk(
            self.data[offset:],
            tuple(at - offset for at in self.pictures if at >= offset),
            tuple(at - offset for at in self.keys if at >= offset),
            self.at,
        )

    def until(self, offset: int) -> "MediaChunk":
        """Return the part before `offset`, a picture's beginning."""
        return MediaChunk(
            self.data[:offset],
            tuple(at for at in self.pictures if at < offset),
            tuple(at for at in self.keys if at < offset),
            self.at,
        )


class ChunkWalker:
    """Find the runs of one connection's chunks; remembers the picture under way.

    A picture begins where the RTP timestamp changes. Markers are not used: cameras exist that set
    them on parameter sets or on every slice, and B-frames change the timestamp, too.

    Args:
        video_channel: the channel of the video's RTP packets.
        carried: all channels that are passed on, the video's among them.
        payload_type: the video's RTP payload type; other packets on its channel begin no picture.
        classify: tells key pictures by their first payload.
        rtcp: the channels among them of which each packet is kept in `heard` as well.
    """

    def __init__(
        self,
        video_channel: int,
        carried: AbstractSet[int],
        payload_type: int,
        classify: Classifier,
        rtcp: AbstractSet[int] = frozenset(),
    ) -> None:
        self._video = video_channel
        self._carried = frozenset(carried | {video_channel})
        self._payload_type = payload_type
        self._classify = classify
        self._rtcp = frozenset(rtcp)
        self._timestamp = -1
        self._head = Head.OTHER
        self._deciding = False
        self._row = 0
        "Packets of another payload type since the last of the video's own."
        self._before = (-1, 0, 0)
        "Timestamp, row and the run's foreign packets as they were before the picture under way."
        self.foreign_payloads = 0
        "Packets on the video's channel with another payload type."
        self.walked = 0
        "Frames walked over, whatever they carry."
        self.heard: list[tuple[int, bytes]] = []
        "Channel and packet of RTCP, the newest `MAX_HEARD`; whoever reads them empties the list."

    def walk(self, buffer: bytearray, start: int, end: int) -> Run:
        """Return the next run in `buffer[start:end]`.

        Until `stop` is STARVED there is more in the chunk. What lies behind `next` then belongs in
        front of the next chunk; it is never longer than `MAX_HELD + MAX_FRAME`.
        """
        # Local names: attribute reads would cost this loop a third of its time.
        timestamp_at, video, carried = _TIMESTAMP.unpack_from, self._video, self._carried
        run = Run(start, start, start, Stop.STARVED, [], [], 0, [])
        at, packets, others = start, 0, 0
        while at + HEADER <= end and buffer[at] == MARK:
            length = buffer[at + 2] << 8 | buffer[at + 3]
            after = at + HEADER + length
            if after > end:
                break
            channel = buffer[at + 1]
            if channel == video:
                if length >= _RTP_HEADER:
                    timestamp = timestamp_at(buffer, at + _TIMESTAMP_OFFSET)[0]
                    if timestamp != self._timestamp or self._deciding:
                        run.video_packets = packets
                        self._look(buffer, at, after, timestamp, run)
                    packets += 1
                else:
                    others += 1
            elif channel in carried:
                others += 1
                if channel in self._rtcp:
                    self._hear(channel, buffer[at + HEADER : after])
            else:
                others += 1
                break
            at = after
        run.video_packets = packets
        self.walked += packets + others
        self._finish(buffer, at, end, run)
        if run.foreign:
            self.foreign_payloads += run.foreign
        return run

    def _look(self, buffer: bytearray, at: int, after: int, timestamp: int, run: Run) -> None:
        """Take in a packet that begins a picture, or follows a beginning that told nothing yet."""
        if buffer[at + HEADER + 1] & 0x7F != self._payload_type:
            run.foreign += 1
            self._row += 1
            run.is_foreign = run.is_foreign or self._row == FOREIGN_ROW
            return
        if timestamp != self._timestamp:
            if self._head is not Head.PARAMETERS:
                self._before = (self._timestamp, self._row, run.foreign)
                self._head = Head.UNDECIDED
                run.pictures.append(at)
                run.before.append(run.video_packets - run.foreign)
            # Else the parameter sets came with a timestamp of their own: the picture begins with them all the same.
            self._timestamp = timestamp
        self._row = 0
        with memoryview(buffer) as view:
            head = self._head = self._classify(payload_of(view[at + HEADER : after]), self._head)
        self._deciding = head is Head.UNDECIDED or head is Head.PARAMETERS
        if head is Head.KEY:
            run.keys.append(run.pictures[-1] if run.pictures else at)

    def _hear(self, channel: int, packet: bytearray) -> None:
        del self.heard[: 1 - MAX_HEARD]
        self.heard.append((channel, bytes(packet)))

    def _finish(self, buffer: bytearray, at: int, end: int, run: Run) -> None:
        """Say where and why `run` ends, given that the walk ended at `at`."""
        run.end = run.next = at
        if at < end and buffer[at] != MARK:
            run.stop = Stop.MESSAGE
            return
        if at + HEADER <= end:
            after = at + HEADER + (buffer[at + 2] << 8 | buffer[at + 3])
            if after <= end:
                run.stop, run.next = Stop.SKIPPED, after
                return
        if self._deciding and run.pictures and at - run.pictures[-1] <= MAX_HELD:
            # Hold this picture's head back: a sink that waits for a key picture needs it whole.
            run.end = run.next = run.pictures.pop()
            self._timestamp, self._row, run.foreign = self._before
            run.video_packets = run.before.pop() + run.foreign
            self._deciding, self._head = False, Head.OTHER


def payload_of(packet: memoryview) -> memoryview:
    """Return the payload of one RTP packet (RFC 3550, section 5.1), empty when its header lies."""
    if len(packet) < _RTP_HEADER:
        return packet[:0]
    begin = _RTP_HEADER + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10:
        if len(packet) < begin + 4:
            return packet[:0]
        begin += 4 + 4 * (packet[begin + 2] << 8 | packet[begin + 3])
    end = len(packet)
    if packet[0] & 0x20:
        end -= packet[-1]
    return packet[begin:end] if begin < end else packet[:0]


def own(buffer: bytearray, run: Run, at: float) -> MediaChunk:
    """Copy `run` out of the shared buffer: the one copy that a chunk costs."""
    start = run.start
    with memoryview(buffer) as view:
        data = bytes(view[start : run.end])
    return MediaChunk(data, tuple(p - start for p in run.pictures), tuple(k - start for k in run.keys), at)


def remap(chunk: MediaChunk, channels: dict[int, int]) -> MediaChunk:
    """Return the frames of `chunk` on `channels` alone, their channel numbers replaced.

    Needed only where a taker insists on other numbers, or takes the video and leaves the audio.
    """
    data, moved = bytearray(), {}
    at = 0
    while at < len(chunk.data):
        after = at + HEADER + (chunk.data[at + 2] << 8 | chunk.data[at + 3])
        channel = channels.get(chunk.data[at + 1])
        if channel is not None:
            moved[at] = len(data)
            data += chunk.data[at:after]
            data[moved[at] + 1] = channel
        at = after
    # A picture begins with a frame on the video's channel, and that is always taken.
    pictures = tuple(moved[offset] for offset in chunk.pictures if offset in moved)
    return MediaChunk(bytes(data), pictures, tuple(moved[o] for o in chunk.keys if o in moved), chunk.at)
