"""What we report to a source of what arrives from it, and what it reports to us (RFC 3550, section 6). Sans-IO.

Some cameras end a session whose receiver never reports. So each session sends receiver reports from
its first media on, whether the source reads them or not.
"""

import base64
import secrets
from collections.abc import Sequence
from random import Random, SystemRandom
from typing import Final

from adapters.base import Transport
from adapters.errors import RemoteProtocolError
from adapters.media.receiver import ReceiverStatistics
from adapters.media.rtcp import (
    CNAME,
    Bye,
    ReceiverReport,
    SenderReport,
    SourceDescription,
    build_compound,
    parse_compound,
)
from adapters.rtsp.session import Track
from gateway.relay.chunk import HEADER, MediaChunk

INTERVAL: Final = 5.0
"""Seconds between two reports on average: the minimum of RFC 3550, 6.2, which two members stay under."""
COMPENSATION: Final = 1.21828
"""e - 3/2: timers as RFC 3550, 6.3.1 spreads them would otherwise be late."""
SAMPLE: Final = 0.2
"""Seconds between two looks at a packet over TCP: a picture's first is enough, and every one is too dear."""
BYE_GRACE: Final = 1.0
"""Seconds after a BYE in which video may still be under way."""
_VIDEO_CLOCK: Final = 90_000


class ReceiverReports:
    """The reports of one pull session, one RTP session a track.

    Over TCP the video's statistics are fed from here, with the first packets of some pictures; other
    tracks' packets are never looked at there, and their reports hold no block. Over UDP the statistics
    are fed by whoever reads the datagrams.

    Args:
        tracks: as set up, video first.
        channels: RTP and RTCP channel of each track as they stand in the chunks.
        random: spreads the reports of many sessions.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        channels: Sequence[tuple[int, int]],
        random: Random | None = None,
    ) -> None:
        self.statistics: Final = [ReceiverStatistics(_clock_rate(track)) for track in tracks]
        self.channels: Final = frozenset(rtcp for _, rtcp in channels)
        "The RTCP channels."
        self.malformed = 0
        "RTCP packets that could not be read; passed on all the same."
        self._tracks = {
            rtcp: statistics for (_, rtcp), statistics in zip(channels, self.statistics, strict=True)
        }
        self._is_sampling = tracks[0].transport is Transport.TCP
        self._random = random if random is not None else SystemRandom()
        # An SSRC and name that mean nothing elsewhere (RFC 7022): no host or user name goes out.
        self._ssrc = int.from_bytes(secrets.token_bytes(4), "big")
        self._cname = base64.b64encode(secrets.token_bytes(12))
        self._sample_at = 0.0
        self._due_at: float | None = None
        self._bye_at = 0.0

    @property
    def jitter(self) -> float:
        """Return the video's jitter in seconds."""
        return self.statistics[0].jitter

    def take(self, chunk: MediaChunk, heard: list[tuple[int, bytes]]) -> None:
        """Take in a run that begins a picture, or what the walker heard on the RTCP channels, and empty that."""
        if heard:
            for channel, packet in heard:
                self._hear(channel, packet, chunk.at)
            heard.clear()
        if self._is_sampling and chunk.pictures and chunk.at >= self._sample_at:
            self._sample_at = chunk.at + SAMPLE
            data, at = chunk.data, chunk.pictures[-1] + HEADER
            self.statistics[0].receive(
                int.from_bytes(data[at + 8 : at + 12], "big"),
                data[at + 2] << 8 | data[at + 3],
                int.from_bytes(data[at + 4 : at + 8], "big"),
                chunk.at,
            )

    def due(self, now: float) -> list[tuple[int, bytes]]:
        """Return the reports to send at monotonic `now`: channel and packet. Call it about once a second."""
        if self._due_at is None:
            if all(statistics.ssrc is None for statistics in self.statistics):
                return []
            # The first one after half the time (RFC 3550, 6.2).
            self._due_at = now + self._spread(INTERVAL / 2)
        if now < self._due_at:
            return []
        self._due_at = now + self._spread(INTERVAL)
        return [(channel, self._report(statistics, now)) for channel, statistics in self._tracks.items()]

    def has_left(self, last_media_at: float) -> bool:
        """Return whether the source said BYE to its video, and sent none since but what was under way.

        By itself a BYE means nothing, for cameras send one and go on; it is the caller who knows for
        how long there is no video.
        """
        return self._bye_at > 0 and last_media_at <= self._bye_at + BYE_GRACE

    def _report(self, statistics: ReceiverStatistics, now: float) -> bytes:
        block = statistics.block(now)
        report = ReceiverReport(self._ssrc, (block,) if block is not None else ())
        return build_compound((report, SourceDescription(((self._ssrc, ((CNAME, self._cname),)),))))

    def _hear(self, channel: int, packet: bytes, at: float) -> None:
        statistics = self._tracks.get(channel)
        if statistics is None:
            return
        try:
            compound = parse_compound(packet)
        except RemoteProtocolError:
            self.malformed += 1
            return
        for each in compound:
            if isinstance(each, SenderReport):
                statistics.receive_report(each, at)
            elif isinstance(each, Bye) and statistics is self.statistics[0] and statistics.ssrc in each.ssrcs:
                self._bye_at = at

    def _spread(self, interval: float) -> float:
        return interval * self._random.uniform(0.5, 1.5) / COMPENSATION


def _clock_rate(track: Track) -> int:
    return track.media.formats[0].clock_rate if track.media is not None else _VIDEO_CLOCK
