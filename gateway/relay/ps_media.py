"""A program stream in RTP (GB/T 28181) as the packets that everything behind expects: one NAL unit or a fragment each.

    RTP packets -> PsDemuxer -> pictures -> PictureFrames -> walker -> the session

Sans-IO: whoever reads a socket calls `begin`, `packets` with what came, in order, and `end`. The codec is what the
pictures are, not what a stream map claims; what comes before the first picture that tells it cannot be decoded and is
dropped. Where sound is carried too, the first pictures wait for its first piece: it must be described with them.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from adapters.base import StreamInfo, Transport
from adapters.errors import RemoteProtocolError, UnsupportedMedia
from adapters.media.packetizer import split_units
from adapters.media.parameter_sets import describe
from adapters.media.ps import Elementary, PsDemuxer, codec_of
from adapters.media.rtp import HEADER as RTP_HEADER
from adapters.media.rtp import RtpHeader
from adapters.media.sdp import Format, Media
from gateway.relay.chunk import HEADER, ChunkWalker
from gateway.relay.intake import Frames
from gateway.relay.picture import classifier
from gateway.relay.picture_frames import PictureFrames
from gateway.relay.ps_sound import Sound, sound_of
from gateway.relay.pull import Opened, Shared, Take
from gateway.relay.reader import ChunkReader

PAYLOAD_TYPE: Final = 96
CLOCK_RATE: Final = 90_000
VIDEO: Final = 0
AUDIO: Final = 2
"""Channels of the frames that are made; the next one of each is its RTCP's, which nobody sends."""
UNDECIDED: Final = 250
"""Pictures without a parameter set after which a stream is given up: ten seconds at 25 a second."""
MOST_WAITING: Final = 12
"""Pictures that wait for the first piece of sound: half a second at 25 a second."""


class PsMedia:
    """The media of one invited session.

    Args:
        shared: the worker's; packets are made in its `made`.
        transport: how they come.
        audio: whether audio is carried.
        take: is given the media.
    """

    def __init__(self, shared: Shared, transport: Transport, *, audio: bool, take: Take) -> None:
        self._transport = transport
        self._audio = audio
        self._demuxer = PsDemuxer()
        self._reader = ChunkReader(shared.made, None, take)
        self._frames = Frames(shared.made, self._reader)
        self._video: PictureFrames | None = None
        self._sound: Sound | None = None
        self._first_sound: Elementary | None = None
        self._waiting: list[tuple[Elementary, list[bytes]]] = []
        "Pictures before what comes is known, the first with parameter sets, each with its units."
        self._clock = _Timeline()
        self._expected = -1
        self._run: list[memoryview] = []
        "Payloads in a row, of one timestamp."
        self._undecided = 0
        self.opened: Callable[[Opened], None] | None = None
        "Called once it is known what comes."

    @property
    def oddities(self) -> dict[str, int]:
        """Return what the sender does against the standard, counted."""
        return {oddity.value: count for oddity, count in self._demuxer.oddities.items()}

    def begin(self, now: float) -> None:
        """Begin a round of packets that arrived at monotonic `now`."""
        self._frames.begin(now)

    def packets(self, packets: Iterable[memoryview]) -> None:
        """Take in the next RTP packets; a step in their numbers is a loss.

        Payloads of one timestamp go on together: taken one by one they cost twice as much.

        Raises:
            RemoteProtocolError: one of them is none.
            UnsupportedMedia: what they carry is no video that we know.
        """
        unpack, size, run = RTP_HEADER.unpack_from, RTP_HEADER.size, self._run
        stamp = -1
        for packet in packets:
            if len(packet) < size:
                raise RemoteProtocolError(f"RTP packet of {len(packet)} bytes")
            first, second, sequence, timestamp, _ = unpack(packet)
            if 192 <= second <= 223:
                # RTCP on the same way (RFC 5761, 4): nobody reads it.
                continue
            if sequence != self._expected and self._expected >= 0:
                self._feed(stamp, marker=False)
                self._demuxer.gap()
            elif timestamp != stamp:
                self._feed(stamp, marker=False)
            stamp = timestamp
            # 0x80: the header of nearly every packet, nothing optional in it.
            run.append(packet[size:] if first == 0x80 else _payload(packet))
            self._expected = (sequence + 1) & 0xFFFF
            if second & 0x80:
                self._feed(stamp, marker=True)
        self._feed(stamp, marker=False)

    def _feed(self, timestamp: int, *, marker: bool) -> None:
        run = self._run
        if not run:
            return
        payload = run[0] if len(run) == 1 else b"".join(run)
        run.clear()
        for each in self._demuxer.feed(payload, timestamp, marker=marker):
            if each.is_video:
                self._picture(each)
            elif self._audio:
                self._piece_of_sound(each)

    def end(self) -> None:
        """End the round: what was made goes on."""
        self._frames.end()

    def _picture(self, picture: Elementary) -> None:
        units = split_units(picture.data)
        if not units:
            return
        if self._video is None:
            self._wait(picture, units)
        else:
            self._write(self._video, picture, units)

    def _write(self, video: PictureFrames, picture: Elementary, units: list[bytes]) -> None:
        if picture.follows_loss:
            video.skip()
        video.write(units, self._clock.take(picture, self._frames.now))

    def _wait(self, picture: Elementary, units: list[bytes]) -> None:
        """Begin with the first picture with parameter sets, once it is known what sound comes beside it.

        Raises:
            UnsupportedMedia: too many pictures came without.
        """
        codec = codec_of(self._waiting[0][1] if self._waiting else units)
        if codec is None or not (self._waiting or _has_sets(codec, units)):
            self._undecided += 1
            if self._undecided >= UNDECIDED:
                named = self._demuxer.video or "no"
                raise UnsupportedMedia(
                    f"no H.264 or H.265 in the program stream; its map names {named} video"
                )
            return
        self._waiting.append((picture, units))
        awaits_sound = self._audio and self._demuxer.audio_type is not None and self._first_sound is None
        if awaits_sound and len(self._waiting) < MOST_WAITING:
            return
        video = self._open(codec, self._waiting[0][1])
        for each in self._waiting:
            self._write(video, *each)
        self._waiting.clear()

    def _open(self, codec: str, units: list[bytes]) -> PictureFrames:
        """Tell what comes: video of `codec` whose parameter sets stand in `units`, and sound."""
        chosen = Format(
            PAYLOAD_TYPE, codec, CLOCK_RATE, None, "packetization-mode=1" if codec == "H264" else None
        )
        media = [Media("video", "RTP/AVP", (describe(chosen, units),), ())]
        channels = [(VIDEO, VIDEO + 1)]
        if self._audio:
            self._sound = sound_of(self._demuxer.audio, self._first_sound)
        if self._sound is not None:
            media.append(self._sound.media)
            channels.append((AUDIO, AUDIO + 1))
        walker = ChunkWalker(
            VIDEO, {channel for pair in channels for channel in pair}, PAYLOAD_TYPE, classifier(codec)
        )
        has_audio = self._demuxer.audio is not None or self._sound is not None
        info = StreamInfo(codec, PAYLOAD_TYPE, CLOCK_RATE, has_audio=has_audio)
        if self.opened is not None:
            self.opened(Opened(tuple(media), tuple(channels), info, self._transport, True, walker))
        self._reader.walker = walker
        self._video = PictureFrames(self._frames, VIDEO, codec, PAYLOAD_TYPE)
        return self._video

    def _piece_of_sound(self, piece: Elementary) -> None:
        if self._first_sound is None:
            self._first_sound = piece
        if self._sound is not None:
            for packet in self._sound.packets(piece):
                self._frames.write(AUDIO, packet)


class _Timeline:
    """RTP timestamps of pictures: the sender's own where they move, our clock's where they stand still."""

    def __init__(self) -> None:
        self._last = (-1, -1, 0, 0.0)
        "PTS and RTP timestamp of the last picture, the timestamp that it was given, and when it came."

    def take(self, picture: Elementary, now: float) -> int:
        """Return the timestamp of the next picture, 90 kHz."""
        pts, stamp = -1 if picture.pts is None else picture.pts, picture.timestamp
        before_pts, before_stamp, given, at = self._last
        if pts >= 0 and pts != before_pts:
            chosen = pts
        elif stamp != before_stamp:
            chosen = stamp
        else:
            chosen = given + max(1, round((now - at) * CLOCK_RATE))
        chosen &= 0xFFFFFFFF
        self._last = (pts, stamp, chosen, now)
        return chosen


class PsTap:
    """Give what a socket's reader framed (`$`, channel, length, packet) to a `PsMedia`; stands where a walker would."""

    def __init__(self, shared: Shared, media: PsMedia) -> None:
        self._buffer = shared.buffer
        self._media = media

    def begin(self) -> int:
        """Return where reading begins: nothing is ever left over."""
        return 0

    def end(self, end: int, at: float) -> None:
        """Handle the buffer up to `end`, received at monotonic `at`.

        Raises:
            AdapterError: as `PsMedia.packets`.
        """
        media = self._media
        media.begin(at)
        media.packets(_cut(self._buffer.view, end))
        media.end()


def _cut(view: memoryview, end: int) -> Iterator[memoryview]:
    """Yield the packets of the frames in `view[:end]`."""
    offset = 0
    while offset + HEADER <= end:
        begin = offset + HEADER
        offset = begin + (view[offset + 2] << 8 | view[offset + 3])
        yield view[begin:offset]


def _payload(packet: memoryview) -> memoryview:
    try:
        header = RtpHeader.parse(packet)
    except ValueError as error:
        raise RemoteProtocolError(str(error)) from error
    return packet[header.payload_start : header.payload_end]


def _has_sets(codec: str | None, units: list[bytes]) -> bool:
    """Return whether parameter sets of `codec` are among the units."""
    match codec:
        case "H264":
            return any(unit[0] & 0x1F == 7 for unit in units)
        case "H265":
            return any(unit[0] >> 1 & 0x3F in (32, 33) for unit in units)
        case _:
            return False
