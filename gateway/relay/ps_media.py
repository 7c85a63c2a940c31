"""A program stream in RTP (GB/T 28181) as the packets that everything behind expects: one NAL unit or a fragment each.

    RTP packets -> PsDemuxer -> pictures -> Packetizer -> `$` frames -> walker -> the session

Sans-IO: whoever reads a socket calls `begin`, `packet` for each packet in order, and `end`. The codec is what the
pictures are, not what a stream map claims; what comes before the first picture that tells it cannot be decoded and is
dropped.
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
from gateway.relay.pull import Opened, Shared, Take
from gateway.relay.reader import ChunkReader

PAYLOAD_TYPE: Final = 96
CLOCK_RATE: Final = 90_000
VIDEO: Final = 0
AUDIO: Final = 2
"""Channels of the frames that are made; the next one of each is its RTCP's, which nobody sends."""
UNDECIDED: Final = 250
"""Pictures without a parameter set after which a stream is given up: ten seconds at 25 a second."""
MAX_AUDIO: Final = 1_280
"""Octets of G.711 in one packet: 160 ms, within what the standard allows."""

_G711: Final = {"PCMA": 8, "PCMU": 0}
_SETS: Final = {"H264": frozenset({7}), "H265": frozenset({32, 33})}


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
        self._sound: Packetizer | None = None
        self._clock = _Timeline()
        self._expected = -1
        self._undecided = 0
        self.opened: Callable[[Opened], None] | None = None
        "Called once it is known what comes."

    @property
    def is_open(self) -> bool:
        """Whether it is known what comes."""
        return self._video is not None

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
            elif self._sound is not None:
                self._piece_of_sound(each)

    def end(self) -> None:
        """End the round: what was made goes on."""
        self._frames.end()

    def _picture(self, picture: Elementary) -> None:
        units = split_units(picture.data)
        if not units:
            return
        video = self._video or self._decide(units)
        if video is None:
            return
        if picture.follows_loss:
            video.skip()
        timestamp = self._clock.video(picture, self._frames.now)
        for packet in video.picture(units, timestamp):
            self._frames.write(VIDEO, packet)

    def _decide(self, units: list[bytes]) -> Packetizer | None:
        """Decide by the first picture with parameter sets what the stream is.

        Raises:
            UnsupportedMedia: too many came without, or the map names another codec.
        """
        codec = codec_of(units)
        if codec is None or not any(_kind(codec, unit) in _SETS[codec] for unit in units):
            self._undecided += 1
            if self._undecided >= UNDECIDED:
                named = self._demuxer.video or "no"
                raise UnsupportedMedia(
                    f"no H.264 or H.265 in the program stream; its map names {named} video"
                )
            return None
        chosen = Format(
            PAYLOAD_TYPE, codec, CLOCK_RATE, None, "packetization-mode=1" if codec == "H264" else None
        )
        media = [Media("video", "RTP/AVP", (describe(chosen, units),), ())]
        channels = [(VIDEO, VIDEO + 1)]
        sound = self._demuxer.audio
        if self._audio and sound in _G711:
            self._sound = Packetizer(sound, _G711[sound], _ssrc())
            media.append(Media("audio", "RTP/AVP", (Format(_G711[sound], sound, 8000),), ()))
            channels.append((AUDIO, AUDIO + 1))
        walker = ChunkWalker(
            VIDEO, {channel for pair in channels for channel in pair}, PAYLOAD_TYPE, classifier(codec)
        )
        info = StreamInfo(codec, PAYLOAD_TYPE, CLOCK_RATE, has_audio=sound is not None)
        if self.opened is not None:
            self.opened(Opened(tuple(media), tuple(channels), info, self._transport, True, walker))
        self._reader.walker = walker
        self._video = Packetizer(codec, PAYLOAD_TYPE, _ssrc())
        return self._video

    def _piece_of_sound(self, piece: Elementary) -> None:
        sound = self._sound
        if sound is None:
            return
        at = self._clock.audio(piece, len(piece.data))
        for begin in range(0, len(piece.data), MAX_AUDIO):
            part = piece.data[begin : begin + MAX_AUDIO]
            (packet,) = sound.picture([part], at + begin)
            self._frames.write(AUDIO, packet)


class _Timeline:
    """The RTP timestamps of what is made: the sender's own where they move, our clock's where they stand still."""

    def __init__(self) -> None:
        self._last = (-1, -1, 0, 0.0)
        "PTS and RTP timestamp of the last picture, the timestamp that it was given, and when it came."
        self._sound = -1

    def video(self, picture: Elementary, now: float) -> int:
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

    def audio(self, piece: Elementary, samples: int) -> int:
        """Return the timestamp of the next piece of sound, 8 kHz; it goes on from the last where that fits."""
        told = (piece.timestamp if piece.pts is None else piece.pts) * 8 // 90
        if self._sound < 0 or abs(told - self._sound) > 8_000:
            self._sound = told
        at = self._sound
        self._sound += samples
        return at


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


def _kind(codec: str, unit: bytes) -> int:
    return unit[0] & 0x1F if codec == "H264" else unit[0] >> 1 & 0x3F


def _ssrc() -> int:
    return int.from_bytes(secrets.token_bytes(4), "big")
