"""Push one source to its superior by ANNOUNCE and RECORD; fails and comes back alone, slows nobody."""

import asyncio
import socket
from typing import Final

from adapters.base import Transport
from adapters.errors import AdapterError, PeerTimeout
from adapters.media.sdp import Media, render_announce
from adapters.rtsp.session import Event, PushSession, Recording, SessionOptions, Track
from gateway.relay.chunk import MediaChunk, remap
from gateway.relay.connection import RtspConnection, connect
from gateway.relay.facts import Reporter
from gateway.relay.protocol import SinkState
from gateway.relay.queue import SinkQueue
from gateway.relay.reader import SharedBuffer
from gateway.relay.spec import RelayBounds, SinkSpec
from gateway.supervisor import Backoff, keep_running

WRITE_BUFFER: Final = 256 * 1024
"""Bytes in the transport above which chunks wait in the queue, where they can still be dropped."""
KERNEL_BUFFER: Final = 512 * 1024
"""SO_SNDBUF: what lies in the kernel can be dropped no more, so it is kept short."""
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
        self._queue = queue
        self._shared = shared
        self._reporter = reporter
        self._connection: RtspConnection | None = None
        "Set while recording."
        self._channels: dict[int, int] = {}
        self._recording: asyncio.Future[tuple[Track, ...]] | None = None
        self._progress = (0, 0.0)
        "Bytes that the kernel has taken, and when that last grew."

    def offer(self, chunk: MediaChunk) -> None:
        """Send `chunk`, let it wait, or drop it; never blocks, never raises."""
        connection = self._connection
        if connection is None or connection.ended.done():
            return
        if self._channels:
            chunk = remap(chunk, self._channels)
        if not connection.is_congested and self._queue.passes(chunk):
            connection.transport.write(chunk.data)
            return
        self._queue.offer(chunk)
        self._flush()

    def tick(self, now: float) -> None:
        """Give up a superior that has taken nothing of what waits for `bounds.sink_stalled` seconds."""
        connection = self._connection
        if connection is None or connection.ended.done():
            return
        left = connection.transport.get_write_buffer_size()
        taken, since = self._queue.bytes_out - left, self._progress[1]
        if left == 0 or taken > self._progress[0]:
            self._progress = (taken, now)
        elif now - since >= self._bounds.sink_stalled:
            connection.fail(
                PeerTimeout(f"took nothing for {self._bounds.sink_stalled:g} s", peer=self._spec.target.peer)
            )

    async def run(self, tracks: tuple[Track, ...], channels: tuple[tuple[int, int], ...]) -> None:
        """Push until cancelled, connecting anew for ever.

        Args:
            tracks: what the source plays, video first.
            channels: RTP and RTCP channel of each track as they stand in the chunks.
        """
        try:
            await keep_running(
                f"push of {self._source_code} to {self._spec.target.url}",
                lambda: self._run_once(tracks, channels),
                clock=self._reporter.clock,
                backoff=Backoff.between(self._bounds.reconnect_first, self._bounds.reconnect_longest),
            )
        finally:
            self._reporter.enter_sink(SinkState.IDLE)

    async def _run_once(self, tracks: tuple[Track, ...], channels: tuple[tuple[int, int], ...]) -> None:
        self._reporter.enter_sink(SinkState.CONNECTING)
        try:
            await self._push(tracks, channels)
        except AdapterError as error:
            self._reporter.enter_sink(
                SinkState.FAILED, error.cause, getattr(error, "status", 0), str(error)[:512]
            )
            if error.retryable:
                raise
            # Another try with the same credential would only help a lock-out along; but not for
            # ever, for it may be the superior that is put right.
            await self._reporter.clock.sleep(REFUSED_PAUSE)

    async def _push(self, tracks: tuple[Track, ...], channels: tuple[tuple[int, int], ...]) -> None:
        target, bounds = self._spec.target, self._bounds
        loop = asyncio.get_running_loop()
        self._recording = loop.create_future()
        media = [track.media for track in tracks if track.media is not None]
        connection = RtspConnection(self._shared, target.peer, self._on_event, on_room=self._flush)
        await connect(target, connection, bounds.connect)
        try:
            self._configure(connection.transport)
            session = PushSession(
                target,
                self._spec.credential,
                announcement(self._source_code, media),
                [f"trackID={index}" for index in range(len(media))],
                SessionOptions(
                    transport=Transport.TCP,
                    allow_basic=self._spec.allow_basic,
                    answer_timeout=ANSWER_TIMEOUT,
                ),
                now=loop.time(),
            )
            connection.start(session)
            out = await self._recorded(connection)
            self._channels = _channel_map(channels, out)
            self._queue.clear()
            self._progress = (self._queue.bytes_out, loop.time())
            self._connection = connection
            self._reporter.enter_sink(SinkState.RECORDING)
            # Not `await connection.ended`: being cancelled would cancel that future, too.
            await asyncio.wait((connection.ended,))
            connection.ended.result()
        finally:
            self._connection = None
            self._queue.clear()
            await connection.close(bounds.teardown)

    async def _recorded(self, connection: RtspConnection) -> tuple[Track, ...]:
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

    def _flush(self) -> None:
        connection = self._connection
        while connection is not None and not connection.is_congested and not connection.ended.done():
            chunk = self._queue.take()
            if chunk is None:
                return
            connection.transport.write(chunk.data)

    @staticmethod
    def _configure(transport: asyncio.Transport) -> None:
        transport.set_write_buffer_limits(high=WRITE_BUFFER, low=WRITE_BUFFER // 4)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def announcement(source_code: str, media: list[Media]) -> bytes:
    """Return what is announced: our id, the codecs, and nothing else of the camera."""
    return render_announce(source_code, media)


def _channel_map(channels: tuple[tuple[int, int], ...], out: tuple[Track, ...]) -> dict[int, int]:
    """Return which channel becomes which; empty when all stay as they are."""
    mapped: dict[int, int] = {}
    for pair, track in zip(channels, out, strict=True):
        if track.rtp_channel is not None and track.rtcp_channel is not None:
            mapped |= {pair[0]: track.rtp_channel, pair[1]: track.rtcp_channel}
    return {} if all(a == b for a, b in mapped.items()) else mapped
