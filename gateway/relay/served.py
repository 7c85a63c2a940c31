"""One client that pulls a source from us: leads its session, gives it the source's media. Owns its socket."""

import asyncio
import logging
import socket
from base64 import b64decode
from collections.abc import Callable
from typing import Final

from adapters.base import SourceKey
from adapters.errors import AdapterError, LocalResourcesExhausted
from adapters.rtsp.server import ServerSession
from adapters.rtsp.serving import (
    Departure,
    Left,
    Offer,
    Paused,
    PlayStarted,
    Position,
    ServedTrack,
    ServerEvent,
)
from gateway.clock import Clock
from gateway.relay.chunk import MediaChunk
from gateway.relay.connection import RtspConnection
from gateway.relay.datagrams import DatagramOutlet
from gateway.relay.fanout import Channels, Fanout, Stream
from gateway.relay.outlet import Outlet, configure
from gateway.relay.protocol import Event, ReaderLeft, ServeReader
from gateway.relay.pull import Shared
from gateway.relay.queue import SinkQueue
from gateway.relay.spec import RelaySpec

logger = logging.getLogger(__name__)

DESCRIBED_WITHIN: Final = 3.0
"""Seconds that a client waits for parameter sets that only the stream tells; players give up after 5 or more."""
NO_STREAM: Final = "no_stream"
"""Cause of an end: the source had stopped when the client arrived."""


class ServedClient:
    """A client from its admission to its leave.

    Args:
        order: who it is and what it sent so far.
        spec: of the source; its code is the stream's only name here.
        fanout: the source's takers.
        shared: the worker's receive buffer, and its ports for media over UDP.
        send: is told `ReaderLeft`.
        clock: tells the event's times.
    """

    def __init__(
        self,
        order: ServeReader,
        spec: RelaySpec,
        fanout: Fanout,
        shared: Shared,
        send: Callable[[Event], None],
        clock: Clock,
    ) -> None:
        self._order = order
        self._spec = spec
        self._fanout = fanout
        self._send = send
        self._clock = clock
        self._queue = SinkQueue(spec.bounds.queue_bytes, spec.bounds.queue_seconds)
        self._outlet = Outlet(self._queue, spec.bounds.sink_stalled, order.peer)
        self._connection: Final[RtspConnection[ServerEvent]] = RtspConnection(
            shared.buffer, order.peer, self._on_event, on_room=self._outlet.flush
        )
        self._ports = shared.ports
        self._datagrams: DatagramOutlet | None = None
        self._session: ServerSession | None = None
        self._stream: Stream | None = None
        self._cause = ""
        self._played_at: float | None = None

    async def run(self, accepted: socket.socket) -> None:
        """Serve the client at `accepted` until it or its stream is gone."""
        loop = asyncio.get_running_loop()
        try:
            stream = await self._fanout.description(DESCRIBED_WITHIN) if self._fanout.stream else None
            if stream is None:
                self._cause = NO_STREAM
                accepted.close()
                return
            self._begin(stream, loop.time())
            self._fanout.add(self)
            await loop.connect_accepted_socket(lambda: self._connection, accepted)
            configure(self._connection.transport)
            self._connection.look()
            await asyncio.wait((self._connection.ended,))
            self._connection.ended.result()
        except AdapterError as error:
            self._cause = self._cause or error.cause
        finally:
            self._fanout.remove(self)
            self._tell()
            self._outlet.close()
            if self._datagrams is not None:
                self._datagrams.close()
            self._connection.finish()

    def _begin(self, stream: Stream, now: float) -> None:
        code = self._spec.source_code
        offer = Offer.of(code, stream.media)
        self._session = ServerSession(self._order.peer, f"/{code}", offer, self, now=now)
        self._stream = stream
        self._connection.start(self._session)
        self._connection.reader.hold(b64decode(self._order.received))

    # -- as a taker --------------------------------------------------------------------------------

    def offer(self, chunk: MediaChunk) -> None:
        """Send `chunk`, let it wait, or drop it."""
        if self._datagrams is None:
            self._outlet.offer(chunk)
        else:
            self._datagrams.offer(chunk)

    def tick(self, now: float) -> None:
        """Give up a client that takes nothing."""
        self._outlet.tick(now)

    def end(self) -> None:
        """End with the stream: RTSP 1.0 has no request to say so, and the closed connection says it."""
        self._cause = self._cause or Departure.SOURCE_GONE.value
        self._connection.finish()

    # -- as the owner of the session ---------------------------------------------------------------

    def bind_ports(self, track: int) -> tuple[int, int] | None:
        """Return our ports for a track over UDP; None where none is free, or the client came over TLS."""
        local = self._connection.transport.get_extra_info("sockname")
        remote = self._connection.transport.get_extra_info("peername")
        if not isinstance(local, tuple) or not isinstance(remote, tuple):
            # A socket pair: behind it TLS ends, and media beside it would travel in the clear.
            return None
        if self._datagrams is None:
            self._datagrams = DatagramOutlet(self._ports, local[0], remote[0], self._heard)
        try:
            return self._datagrams.bind(track)
        except LocalResourcesExhausted:
            return None

    def position(self, track: int) -> Position | None:  # noqa: ARG002 - the packets tell
        """Return None: the first packets tell."""
        return None

    def _heard(self) -> None:
        if self._session is not None:
            self._session.heard(asyncio.get_running_loop().time())

    def _on_event(self, event: ServerEvent) -> None:
        now = asyncio.get_running_loop().time()
        match event:
            case PlayStarted(tracks):
                self._played_at = self._played_at or now
                self._play(tracks, now)
            case Paused():
                self._outlet.close()
                if self._datagrams is not None:
                    self._datagrams.pause()
            case Left(reason):
                self._cause = self._cause or reason.value
                self._connection.finish()
            case _:
                pass

    def _play(self, tracks: tuple[ServedTrack, ...], now: float) -> None:
        """Let media go: over the connection, or by datagrams where the client asked for those."""
        channels = self._stream.channels if self._stream is not None else ()
        ports = {track.index: track.client_ports for track in tracks if track.client_ports is not None}
        if self._datagrams is not None:
            self._datagrams.open(ports, dict(enumerate(channels)))
            return
        self._outlet.open(self._connection, _mapped(channels, tracks), self._fanout.replay(now), now)

    def _tell(self) -> None:
        now, sent = self._clock.monotonic(), self._datagrams or self._queue
        self._send(
            ReaderLeft(
                SourceKey(self._order.source_id),
                self._order.reader_id,
                now,
                self._clock.now(),
                self._cause or Departure.CLOSED.value,
                now - self._played_at if self._played_at is not None else 0.0,
                sent.frames_out,
                sent.bytes_out,
                sent.dropped_frames,
            )
        )


def _mapped(channels: Channels, tracks: tuple[ServedTrack, ...]) -> dict[int, int]:
    """Return which channel of the stream becomes which of the client's; empty when all stay as they are."""
    mapped: dict[int, int] = {}
    for track in tracks:
        if track.channels is not None:
            mapped |= dict(zip(channels[track.index], track.channels, strict=True))
    if len(tracks) == len(channels) and all(a == b for a, b in mapped.items()):
        return {}
    return mapped
