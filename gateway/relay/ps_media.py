"""A program stream in RTP (GB/T 28181) as the packets that everything behind expects: one NAL unit or a fragment each.

    RTP packets -> PsDemuxer -> pictures -> Packetizer -> `$` frames -> walker -> the session

Sans-IO: whoever reads a socket calls `begin`, `packet` for each packet in order, and `end`. The codec is what the
pictures are, not what a stream map claims; what comes before the first picture that tells it cannot be decoded and is
dropped. Where sound is carried too, the first pictures wait for its first piece: it must be described with them.
"""

import secrets
from collections.abc import Callable
from typing import Final

from adapters.base import StreamInfo, Transport
from adapters.errors import RemoteProtocolError, UnsupportedMedia
from adapters.media.packetizer import Packetizer, split_units
from adapters.media.parameter_sets import describe
from adapters.media.ps import Elementary, PsDemuxer, codec_of
from adapters.media.rtp import HEADER as RTP_HEADER
from adapters.media.rtp import RtpHeader
from adapters.media.sdp import Format, Media
from gateway.relay.chunk import HEADER, ChunkWalker
from gateway.relay.intake import Frames
from gateway.relay.picture import classifier
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
        self._video: Packetizer | None = None
        self._sound: Sound | None = None
        self._first_sound: Elementary | None = None
        self._waiting: list[tuple[Elementary, list[bytes]]] = []
        "Pictures before what comes is known, the first with parameter sets, each with its units."
        self._clock = _Timeline()
        self._expected = -1
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

    def packet(self, packet: memoryview) -> None:
        """Take in the next RTP packet; a step in its numbers is a loss.

        Raises:
            RemoteProtocolError: it is none.
            UnsupportedMedia: what it carries is no video that we know.
        """
        size = len(packet)
        if size < RTP_HEADER.size:
            raise RemoteProtocolError(f"RTP packet of {size} bytes")
        first, second, sequence, timestamp, _ = RTP_HEADER.unpack_from(packet)
        if 192 <= second <= 223:
            # RTCP on the same way (RFC 5761, 4): nobody reads it.
            return
        if first == 0x80:
            # The header of nearly every packet: nothing optional in it.
            payload = packet[RTP_HEADER.size :]
        else:
            try:
                header = RtpHeader.parse(packet)
            except ValueError as error:
                raise RemoteProtocolError(str(error)) from error
            payload = packet[header.payload_start : header.payload_end]
        if sequence != self._expected and self._expected >= 0:
            self._demuxer.gap()
        self._expected = (sequence + 1) & 0xFFFF
        for each in self._demuxer.feed(payload, timestamp, marker=bool(second & 0x80)):
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

    def _write(self, video: Packetizer, picture: Elementary, units: list[bytes]) -> None:
        if picture.follows_loss:
            video.skip()
        timestamp = self._clock.take(picture, self._frames.now)
        for packet in video.picture(units, timestamp):
            self._frames.write(VIDEO, packet)

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

    def _open(self, codec: str, units: list[bytes]) -> Packetizer:
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
        self._video = Packetizer(codec, PAYLOAD_TYPE, int.from_bytes(secrets.token_bytes(4), "big"))
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
            AdapterError: as `PsMedia.packet`.
        """
        media, view = self._media, self._buffer.view
        media.begin(at)
        offset = 0
        while offset + HEADER <= end:
            size = view[offset + 2] << 8 | view[offset + 3]
            offset += HEADER
            media.packet(view[offset : offset + size])
            offset += size
        media.end()


def _has_sets(codec: str | None, units: list[bytes]) -> bool:
    """Return whether parameter sets of `codec` are among the units."""
    match codec:
        case "H264":
            return any(unit[0] & 0x1F == 7 for unit in units)
        case "H265":
            return any(unit[0] >> 1 & 0x3F in (32, 33) for unit in units)
        case _:
            return False
