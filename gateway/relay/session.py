"""One pull of one source, from connecting to the end: carries its media to its sink, tells its facts.

A session belongs to one immutable `RelaySpec` and uses sockets of its own that serve nothing else
before or after: a frame cannot go out under another source's id.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from adapters.base import StreamInfo, Transport
from adapters.errors import (
    AdapterError,
    LocalProtocolError,
    PeerClosed,
    PeerTimeout,
    RemoteProtocolError,
    StreamChanged,
)
from adapters.rtsp import session as rtsp
from gateway.relay.changes import Changes
from gateway.relay.chunk import ChunkWalker, MediaChunk, Run
from gateway.relay.connection import RtspConnection, connect
from gateway.relay.facts import GapWatch, Reporter, Totals
from gateway.relay.fanout import Channels, Fanout, Stream
from gateway.relay.pace import ReadTick
from gateway.relay.picture import classifier
from gateway.relay.protocol import CodecChanged, FirstKeyFrame, Playing, RelayEnded, RelayState
from gateway.relay.reader import ChunkReader, SharedBuffer
from gateway.relay.reports import ReceiverReports
from gateway.relay.sink import Sink
from gateway.relay.spec import RelaySpec
from gateway.relay.udp import PortPool, UdpMedia
from gateway.relay.verification import Decoder, Verification

TICK: Final = 1.0
"""Seconds between two looks at what is missing."""


@dataclass(frozen=True)
class Shared:
    """What the relays of one worker have in common; nothing of it holds media between two calls."""

    buffer: SharedBuffer
    ports: PortPool
    tick: ReadTick
    decoder: Decoder


class RelaySession:
    """Pull `spec` once; `run` raises when it is over.

    Args:
        spec: what to pull and where to push it.
        shared: the worker's buffer, ports and threads.
        totals: of the relay, over all its sessions.
        fanout: of the relay; its takers are given the media.
        reporter: of the relay.
    """

    def __init__(
        self, spec: RelaySpec, shared: Shared, totals: Totals, fanout: Fanout, reporter: Reporter
    ) -> None:
        self._spec = spec
        self._shared = shared
        self._totals = totals
        self._fanout = fanout
        self._reporter = reporter
        self._loop = asyncio.get_running_loop()
        self._connection: Final[RtspConnection[rtsp.Event]] = RtspConnection(
            shared.buffer, spec.target.peer, self._on_event, self._take, tick=shared.tick
        )
        self._walker = self._connection.reader.walker
        self._rate = (0, 0, 0.0)
        "Frames walked over and bytes received at the last look, and when that was."
        self._udp: UdpMedia | None = None
        self._reports: ReceiverReports | None = None
        self._described: rtsp.Described | None = None
        self._playing: asyncio.Future[rtsp.Playing] = self._loop.create_future()
        self._session: rtsp.PullSession | None = None
        self._changes: Changes | None = None
        self._changed: asyncio.Future[str] = self._loop.create_future()
        "Why the stream under way became another one; the session then takes its leave."
        self._gaps: GapWatch | None = None
        self._verification: Verification | None = None
        self._sink: Sink | None = None
        self._channels: Channels = ()
        self._key_frame_told = spec.verify > 0 and not totals.verified
        "A verifying session tells its first key frame when that is decoded."

    async def run(self) -> None:
        """Connect, play, and carry media until something ends it.

        Raises:
            AdapterError: why it ended; reported as `RelayEnded` already.
        """
        self._totals.sessions += 1
        self._reporter.enter(RelayState.CONNECTING)
        error: BaseException | None = None
        try:
            await self._play()
            await self._carry()
        except BaseException as ended:
            error = ended
            raise
        finally:
            self._fanout.end()
            await self._close()
            self._report_end(error)

    async def _watch(self) -> None:
        """Tick once a second; in a task of this session, so that a bug in it ends this session alone."""
        while True:
            await self._reporter.clock.sleep(TICK)
            self._tick(self._loop.time())

    def _tick(self, now: float) -> None:
        """Do what is due: gaps, missing media, a stalled sink, the verification."""
        gaps = self._gaps
        if gaps is None or self._connection.ended.done():
            return
        silence = gaps.silence(now)
        bounds = self._spec.bounds
        limit = bounds.media_timeout if gaps.last_at else bounds.first_media
        if silence >= limit:
            what = "no video" if gaps.last_at else "no video after PLAY"
            self._connection.fail(PeerTimeout(f"{what} for {silence:.0f} s", peer=self._spec.target.peer))
        self._check_rate(now)
        if self._reports is not None:
            self._report(self._reports, gaps, now)
        self._fanout.tick(now)
        if self._verification is not None:
            self._verification.tick(now, gap=gaps.is_open)
            if self._verification.passed:
                self._totals.verified, self._verification = True, None

    def _report(self, reports: ReceiverReports, gaps: GapWatch, now: float) -> None:
        """Report to the source what arrives of it; take its word when it says BYE and sends no more."""
        self._totals.reception.jitter = reports.jitter
        for channel, packet in reports.due(now):
            if self._udp is not None:
                self._udp.send(channel, packet)
            else:
                self._connection.send_frame(channel, packet)
        if gaps.is_open and reports.has_left(gaps.last_at):
            self._connection.fail(PeerClosed("said BYE and sends no more", peer=self._spec.target.peer))

    def _check_rate(self, now: float) -> None:
        """End a pull that floods us: its walking and copying is time that its neighbours lack."""
        walked, received, since = self._rate
        self._rate = (self._walker.walked, self._totals.bytes_in, now)
        passed = now - since
        if passed <= 0:
            return
        packets = (self._walker.walked - walked) / passed
        bitrate = 8 * (self._totals.bytes_in - received) / passed
        if packets > self._spec.bounds.max_packets or bitrate > self._spec.bounds.max_bitrate:
            text = f"sends {packets:.0f} packets and {bitrate / 1e6:.0f} Mbit a second"
            self._connection.fail(RemoteProtocolError(text, peer=self._spec.target.peer))

    # -- from connecting to PLAY -------------------------------------------------------------------

    async def _play(self) -> None:
        spec, bounds = self._spec, self._spec.bounds
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

    def _on_event(self, event: rtsp.Event) -> None:
        if isinstance(event, rtsp.Described):
            self._described = event
            self._note_codec(event.stream)
        elif isinstance(event, rtsp.Playing) and not self._playing.done():
            self._playing.set_result(event)
            self._begin(event)

    def _note_codec(self, stream: StreamInfo) -> None:
        before, self._totals.codec = self._totals.codec, stream.codec
        if before not in ("", stream.codec):
            self._totals.discontinuities += 1
            self._reporter.report(CodecChanged(*self._reporter.times(), before, stream.codec))

    def _begin(self, playing: rtsp.Playing) -> None:
        """Get ready for the media, which may stand in the very chunk that holds the answer to PLAY."""
        described, session = self._described, self._session
        if described is None or session is None:
            raise LocalProtocolError("PLAY without a description", peer=self._spec.target.peer)
        stream, now = described.stream, self._loop.time()
        transport = playing.tracks[0].transport
        self._channels = channels_of(playing.tracks)
        reports = self._reports = ReceiverReports(playing.tracks, self._channels)
        walker = self._walker = ChunkWalker(
            self._channels[0][0],
            {channel for pair in self._channels for channel in pair},
            stream.payload_type,
            classifier(stream.codec),
            reports.channels,
        )
        self._rate = (0, self._totals.bytes_in, now)
        self._gaps = GapWatch(self._reporter, self._spec.bounds.media_gap, now)
        self._prepare(playing, stream, now)
        self._fanout.begin(stream_of(playing.tracks, self._channels))
        if self._sink is not None:
            self._fanout.add(self._sink)
        if transport is Transport.TCP:
            self._connection.reader.walker = walker
        elif self._udp is not None:
            self._udp.start(playing.tracks, walker, self._shared.tick, reports.statistics)
        self._reporter.report(
            Playing(
                *self._reporter.times(),
                stream.codec,
                transport,
                stream.has_audio,
                session.challenged and session.refusals == 0,
            )
        )
        self._reporter.enter(RelayState.PLAYING)

    def _prepare(self, playing: rtsp.Playing, stream: StreamInfo, now: float) -> None:
        """Make the verification and the sink that this session needs."""
        spec, video = self._spec, playing.tracks[0].media
        if video is None:
            raise LocalProtocolError(f"a track of {stream.codec} without its description")
        self._changes = Changes(
            self._channels[0][0],
            video.formats[0],
            self._totals,
            self._fanout,
            self._reporter,
            self._changed.set_result,
        )
        if spec.verify > 0 and not self._totals.verified:
            self._verification = Verification(
                spec.verify,
                self._channels[0][0],
                video.formats[0],
                self._shared.decoder,
                self._reporter,
                now,
            )
        if spec.sink is not None:
            self._sink = Sink(
                spec.sink,
                spec.source_code,
                spec.bounds,
                self._totals.queue,
                self._shared.buffer,
                self._reporter,
            )

    # -- carrying ----------------------------------------------------------------------------------

    def _take(self, received: MediaChunk, run: Run) -> None:
        """Pass one run of media on: the hot path."""
        self._totals.count(received, run.video_packets)
        if self._reports is not None and (received.pictures or self._walker.heard):
            self._reports.take(received, self._walker.heard)
        chunk = self._changes.take(received, run) if self._changes is not None else received
        if chunk is None:
            return
        if run.video_packets and self._gaps is not None:
            self._gaps.media(chunk.at)
            if self._verification is not None:
                self._verification.take(chunk)
            if chunk.keys and not self._key_frame_told:
                self._key_frame_told = True
                self._reporter.report(FirstKeyFrame(*self._reporter.times(), self._totals.codec, False, 0, 0))
        self._fanout.offer(chunk)

    async def _carry(self) -> None:
        tracks = self._playing.result().tracks
        if tracks[0].transport is Transport.TCP and self._udp is not None:
            self._udp.close(self._shared.ports)
            self._udp = None
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self._watch(), name="watch")]
            stream = self._fanout.stream
            if self._sink is not None and stream is not None:
                running.append(tasks.create_task(self._sink.run(stream, self._fanout), name="sink"))
            if self._verification is not None:
                running.append(tasks.create_task(self._verification.run(), name="verification"))
            await asyncio.wait((self._connection.ended, self._changed), return_when=asyncio.FIRST_COMPLETED)
            for task in running:
                task.cancel()
        if self._changed.done():
            raise StreamChanged(self._changed.result(), peer=self._spec.target.peer)
        self._connection.ended.result()

    # -- the end -----------------------------------------------------------------------------------

    async def _close(self) -> None:
        try:
            await self._connection.close(self._spec.bounds.teardown)
        finally:
            if self._udp is not None:
                self._udp.close(self._shared.ports)

    def _report_end(self, error: BaseException | None) -> None:
        if isinstance(error, AdapterError):
            cause, retryable, detail = error.cause, error.retryable, str(error)[:512]
        elif error is None or isinstance(error, asyncio.CancelledError):
            cause, retryable, detail = "stopped", False, ""
        else:
            cause, retryable, detail = "bug", True, type(error).__name__
        self._reporter.report(
            RelayEnded(
                *self._reporter.times(),
                cause,
                retryable,
                status=getattr(error, "status", 0),
                refusals=self._session.refusals if self._session is not None else 0,
                detail=detail,
                was_playing=self._playing.done() and not self._playing.cancelled(),
                last_media_at=self._gaps.last_at if self._gaps is not None else 0.0,
            )
        )
        self._reporter.enter(RelayState.WAITING if retryable else RelayState.ENDED)


def stream_of(tracks: tuple[rtsp.Track, ...], channels: Channels) -> Stream:
    """Return what a session delivers; tracks without a description carry nothing that could be offered."""
    return Stream(tuple(track.media for track in tracks if track.media is not None), channels)


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
