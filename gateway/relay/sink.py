"""Push one source to its superior by ANNOUNCE and RECORD; fails and comes back alone, slows nobody."""

import asyncio
from typing import Final

from adapters.base import Transport
from adapters.errors import AdapterError, PeerTimeout
from adapters.media.sdp import render_announce
from adapters.rtsp.session import Event, PushSession, Recording, SessionOptions, Track
from gateway.relay.chunk import MediaChunk
from gateway.relay.connection import RtspConnection, connect
from gateway.relay.facts import Reporter
from gateway.relay.fanout import Channels, Fanout, Stream
from gateway.relay.outlet import Outlet, configure
from gateway.relay.protocol import SinkState
from gateway.relay.queue import SinkQueue
from gateway.relay.reader import SharedBuffer
from gateway.relay.spec import RelayBounds, SinkSpec
from gateway.supervisor import Backoff, keep_running

ANSWER_TIMEOUT: Final = 30.0
"""Seconds for an answer: a keepalive stands in line behind the media that a slow superior takes."""
REFUSED_PAUSE: Final = 1800.0
"""Seconds before a superior that refused our credential is asked again."""


class Sink:
    """The push of one pull session: it begins when the source plays and ends with it.

    Args:
        spec: where to.
        source_code: the id under which the source goes out.
        bounds: times and sizes.
        queue: what waits; its counters outlive this object.
        shared: the worker's receive buffer.
        reporter: is told the state.
    """

    def __init__(
        self,
        spec: SinkSpec,
        source_code: str,
        bounds: RelayBounds,
        queue: SinkQueue,
        shared: SharedBuffer,
        reporter: Reporter,
    ) -> None:
        self._spec = spec
        self._source_code = source_code
        self._bounds = bounds
        self._shared = shared
        self._reporter = reporter
        self._recording: asyncio.Future[tuple[Track, ...]] | None = None
        self._outlet = Outlet(queue, bounds.sink_stalled, spec.target.peer)

    def offer(self, chunk: MediaChunk) -> None:
        """Send `chunk`, let it wait, or drop it; never blocks, never raises."""
        self._outlet.offer(chunk)

    def tick(self, now: float) -> None:
        """Give up a superior that has taken nothing of what waits for `bounds.sink_stalled` seconds."""
        self._outlet.tick(now)

    def end(self) -> None:
        """Do nothing: the session that began this push ends it."""

    async def run(self, stream: Stream, fanout: Fanout) -> None:
        """Push `stream` until cancelled, connecting anew for ever.

        Args:
            stream: what the source plays.
            fanout: gives the group of pictures on which each push starts.
        """
        try:
            await keep_running(
                f"push of {self._source_code} to {self._spec.target.url}",
                lambda: self._run_once(stream, fanout),
                clock=self._reporter.clock,
                backoff=Backoff.between(self._bounds.reconnect_first, self._bounds.reconnect_longest),
            )
        finally:
            self._reporter.enter_sink(SinkState.IDLE)

    async def _run_once(self, stream: Stream, fanout: Fanout) -> None:
        self._reporter.enter_sink(SinkState.CONNECTING)
        try:
            await self._push(stream, fanout)
        except AdapterError as error:
            self._reporter.enter_sink(
                SinkState.FAILED, error.cause, getattr(error, "status", 0), str(error)[:512]
            )
            if error.retryable:
                raise
            # Another try with the same credential would only help a lock-out along; but not for
            # ever, for it may be the superior that is put right.
            await self._reporter.clock.sleep(REFUSED_PAUSE)

    async def _push(self, stream: Stream, fanout: Fanout) -> None:
        target, bounds = self._spec.target, self._bounds
        loop = asyncio.get_running_loop()
        offered = await fanout.description(bounds.first_media) or stream
        self._recording = loop.create_future()
        connection: RtspConnection[Event] = RtspConnection(
            self._shared, target.peer, self._on_event, on_room=self._outlet.flush
        )
        await connect(target, connection, bounds.connect)
        try:
            configure(connection.transport)
            session = PushSession(
                target,
                self._spec.credential,
                render_announce(self._source_code, offered.media),
                [f"trackID={index}" for index in range(len(offered.media))],
                SessionOptions(
                    transport=Transport.TCP,
                    allow_basic=self._spec.allow_basic,
                    answer_timeout=ANSWER_TIMEOUT,
                ),
                now=loop.time(),
            )
            connection.start(session, session.close)
            out = await self._recorded(connection)
            now = loop.time()
            self._outlet.open(connection, channel_map(stream.channels, out), fanout.replay(now), now)
            self._reporter.enter_sink(SinkState.RECORDING)
            # Not `await connection.ended`: being cancelled would cancel that future, too.
            await asyncio.wait((connection.ended,))
            connection.ended.result()
        finally:
            self._outlet.close()
            await connection.close(bounds.teardown)

    async def _recorded(self, connection: RtspConnection[Event]) -> tuple[Track, ...]:
        """Wait for the answer to RECORD, or for the end of the connection."""
        assert self._recording is not None
        within = self._bounds.handshake
        await asyncio.wait(
            (self._recording, connection.ended), timeout=within, return_when=asyncio.FIRST_COMPLETED
        )
        if self._recording.done():
            return self._recording.result()
        if connection.ended.done():
            connection.ended.result()
        raise PeerTimeout(f"RECORD was not answered within {within:g} s", peer=self._spec.target.peer)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Recording) and self._recording is not None and not self._recording.done():
            self._recording.set_result(event.tracks)


def channel_map(channels: Channels, out: tuple[Track, ...]) -> dict[int, int]:
    """Return which channel becomes which; empty when all stay as they are."""
    mapped: dict[int, int] = {}
    for pair, track in zip(channels, out, strict=True):
        if track.rtp_channel is not None and track.rtcp_channel is not None:
            mapped |= {pair[0]: track.rtp_channel, pair[1]: track.rtcp_channel}
    return {} if all(a == b for a, b in mapped.items()) else mapped
