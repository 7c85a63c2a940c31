"""The pull of an RTSP source: its connection, its media inside it or beside it over UDP, the reports to it."""

import asyncio
from collections.abc import Callable
from typing import Final

from adapters.base import Transport
from adapters.errors import LocalProtocolError, PeerClosed, PeerTimeout, RemoteProtocolError
from adapters.rtsp import session as rtsp
from gateway.relay.chunk import ChunkWalker, MediaChunk
from gateway.relay.connection import RtspConnection, connect
from gateway.relay.facts import Totals
from gateway.relay.fanout import Channels
from gateway.relay.picture import classifier
from gateway.relay.pull import Opened, Shared, Take
from gateway.relay.reader import ChunkReader
from gateway.relay.reports import ReceiverReports
from gateway.relay.spec import RelaySpec
from gateway.relay.udp import UdpMedia


class RtspPull:
    """Pull over RTSP; see `gateway.relay.pull.Pull`.

    Args:
        spec: what to pull.
        shared: the worker's.
        totals: of the relay.
        take: is given the media.
    """

    def __init__(self, spec: RelaySpec, shared: Shared, totals: Totals, take: Take) -> None:
        self._spec = spec
        self._shared = shared
        self._totals = totals
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._connection: Final[RtspConnection[rtsp.Event]] = RtspConnection(
            shared.buffer, spec.target.peer, self._on_event, take, tick=shared.tick
        )
        self.ended: Final = self._connection.ended
        self._walker = self._connection.reader.walker
        self._udp: UdpMedia | None = None
        self._reports: ReceiverReports | None = None
        self._described: rtsp.Described | None = None
        self._playing: asyncio.Future[rtsp.Playing] = self._loop.create_future()
        self._session: rtsp.PullSession | None = None
        self._opened: Callable[[Opened], None] | None = None

    @property
    def refusals(self) -> int:
        """Return how often the source refused our credential in this session."""
        return self._session.refusals if self._session is not None else 0

    # -- from connecting to PLAY -------------------------------------------------------------------

    async def open(self, opened: Callable[[Opened], None]) -> None:
        """Connect and play.

        Raises:
            AdapterError: the source does not play.
        """
        spec, bounds = self._spec, self._spec.bounds
        self._opened = opened
        await connect(spec.target, self._connection, bounds.connect)
        options = rtsp.SessionOptions(
            transport=spec.transport,
            audio=spec.audio,
            allow_basic=spec.allow_basic,
            udp_ports=self._bind(),
            answer_timeout=min(10.0, bounds.handshake),
        )
        self._session = rtsp.PullSession(spec.target, spec.credential, options, now=self._loop.time())
        self._connection.start(self._session, self._session.close)
        await asyncio.wait(
            (self._playing, self._connection.ended),
            timeout=bounds.handshake,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if self._playing.done():
            self._leave_udp_unless_used()
            return
        if self._connection.ended.done():
            self._connection.ended.result()
        raise PeerTimeout(f"PLAY was not answered within {bounds.handshake:g} s", peer=spec.target.peer)

    def _bind(self) -> tuple[int, ...]:
        """Bind the ports that UDP would need: a source may refuse TCP by 461."""
        transport = self._connection.transport
        if self._spec.target.tls is not None:
            # Media beside a TLS connection would travel in the clear.
            return ()
        reader = ChunkReader(self._shared.buffer, None, self._take)
        peer = transport.get_extra_info("peername")[0]
        self._udp = UdpMedia(self._shared.buffer, reader, peer, self._connection.fail, self._totals.reception)
        local = transport.get_extra_info("sockname")[0]
        return self._udp.bind(self._shared.ports, local, 2 if self._spec.audio else 1)

    def _leave_udp_unless_used(self) -> None:
        if self._playing.result().tracks[0].transport is Transport.TCP and self._udp is not None:
            self._udp.close(self._shared.ports)
            self._udp = None

    def _on_event(self, event: rtsp.Event) -> None:
        if isinstance(event, rtsp.Described):
            self._described = event
        elif isinstance(event, rtsp.Playing) and not self._playing.done():
            self._playing.set_result(event)
            self._begin(event)

    def _begin(self, playing: rtsp.Playing) -> None:
        """Get ready for the media, which may stand in the very chunk that holds the answer to PLAY."""
        described, session, opened = self._described, self._session, self._opened
        if described is None or session is None or opened is None:
            raise LocalProtocolError("PLAY without a description", peer=self._spec.target.peer)
        if playing.tracks[0].media is None:
            raise LocalProtocolError(f"a track of {described.stream.codec} without its description")
        stream = described.stream
        transport = playing.tracks[0].transport
        channels = channels_of(playing.tracks)
        reports = self._reports = ReceiverReports(playing.tracks, channels)
        walker = self._walker = ChunkWalker(
            channels[0][0],
            {channel for pair in channels for channel in pair},
            stream.payload_type,
            classifier(stream.codec),
            reports.channels,
        )
        opened(
            Opened(
                # Tracks without a description carry nothing that could be offered.
                tuple(track.media for track in playing.tracks if track.media is not None),
                channels,
                stream,
                transport,
                session.challenged and session.refusals == 0,
                walker,
            )
        )
        if transport is Transport.TCP:
            self._connection.reader.walker = walker
        elif self._udp is not None:
            self._udp.start(playing.tracks, walker, self._shared.tick, reports.statistics)

    # -- while it plays ----------------------------------------------------------------------------

    def note(self, chunk: MediaChunk) -> None:
        """Take in the reports of the source, and how its video arrives."""
        if self._reports is not None:
            self._reports.take(chunk, self._walker.heard)

    def tick(self, now: float, *, is_silent: bool, last_at: float) -> None:
        """Report to the source what arrives of it; take its word when it says BYE and sends no more."""
        reports = self._reports
        if reports is None:
            return
        self._totals.reception.jitter = reports.jitter
        for channel, packet in reports.due(now):
            if self._udp is not None:
                self._udp.send(channel, packet)
            else:
                self._connection.send_frame(channel, packet)
        if is_silent and reports.has_left(last_at):
            self.fail(PeerClosed("said BYE and sends no more", peer=self._spec.target.peer))

    def fail(self, error: BaseException) -> None:
        """End at once because of `error`; the first one counts."""
        self._connection.fail(error)

    async def close(self, within: float) -> None:
        """Send TEARDOWN, wait for its answer, close all sockets."""
        try:
            await self._connection.close(within)
        finally:
            if self._udp is not None:
                self._udp.close(self._shared.ports)


def channels_of(tracks: tuple[rtsp.Track, ...]) -> Channels:
    """Return the channels of each track: those agreed on TCP, those that `UdpMedia` gives on UDP.

    Raises:
        RemoteProtocolError: a track on TCP has none.
    """
    channels: list[tuple[int, int]] = []
    for index, track in enumerate(tracks):
        if track.transport is Transport.UDP:
            channels.append((2 * index, 2 * index + 1))
        elif track.rtp_channel is None or track.rtcp_channel is None:
            raise RemoteProtocolError("a track without interleaved channels")
        else:
            channels.append((track.rtp_channel, track.rtcp_channel))
    return tuple(channels)
