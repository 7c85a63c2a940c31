"""One client that pulls a source from us: leads its session, gives it the source's media. Owns its socket."""

import asyncio
import logging
import socket
from base64 import b64decode
from collections.abc import Callable
from typing import Final

from adapters.base import SourceKey
from adapters.errors import AdapterError
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
from gateway.relay.fanout import Channels, Fanout, Stream
from gateway.relay.outlet import Outlet, configure
from gateway.relay.protocol import Event, ReaderLeft, ServeReader
from gateway.relay.queue import SinkQueue
from gateway.relay.reader import SharedBuffer
from gateway.relay.spec import RelaySpec

logger = logging.getLogger(__name__)

NO_STREAM: Final = "no_stream"
"""Cause of an end: the source had stopped when the client arrived."""


class ServedClient:
    """A client from its admission to its leave.

    Args:
        order: who it is and what it sent so far.
        spec: of the source; its code is the stream's only name here.
        fanout: the source's takers.
        shared: the worker's receive buffer.
        send: is told `ReaderLeft`.
        clock: tells the event's times.
    """

    def __init__(
        self,
        order: ServeReader,
        spec: RelaySpec,
        fanout: Fanout,
        shared: SharedBuffer,
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
            shared, order.peer, self._on_event, on_room=self._outlet.flush
        )
        self._stream: Stream | None = None
        self._cause = ""
        self._played_at: float | None = None

    async def run(self, accepted: socket.socket) -> None:
        """Serve the client at `accepted` until it or its stream is gone."""
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(lambda: self._connection, accepted)
            configure(self._connection.transport)
            self._stream = self._fanout.stream
            if self._stream is None:
                self._cause = NO_STREAM
                return
            self._fanout.add(self)
            self._begin(self._stream, loop.time())
            await asyncio.wait((self._connection.ended,))
            self._connection.ended.result()
        except AdapterError as error:
            self._cause = self._cause or error.cause
        finally:
            self._fanout.remove(self)
            self._outlet.close()
            self._connection.finish()
            self._tell()

    def _begin(self, stream: Stream, now: float) -> None:
        code = self._spec.source_code
        session = ServerSession(self._order.peer, f"/{code}", Offer.of(code, stream.media), self, now=now)
        self._connection.start(session)
        self._connection.feed(b64decode(self._order.received))

    # -- as a taker --------------------------------------------------------------------------------

    def offer(self, chunk: MediaChunk) -> None:
        """Send `chunk`, let it wait, or drop it."""
        self._outlet.offer(chunk)

    def tick(self, now: float) -> None:
        """Give up a client that takes nothing."""
        self._outlet.tick(now)

    def end(self) -> None:
        """End with the stream: RTSP 1.0 has no request to say so, and the closed connection says it."""
        self._cause = self._cause or Departure.SOURCE_GONE.value
        self._connection.finish()

    # -- as the owner of the session ---------------------------------------------------------------

    def bind_ports(self, track: int) -> tuple[int, int] | None:  # noqa: ARG002 - none are bound
        """Return None: clients are served over TCP."""
        return None

    def position(self, track: int) -> Position | None:  # noqa: ARG002 - the packets tell
        """Return None: the first packets tell."""
        return None

    def _on_event(self, event: ServerEvent) -> None:
        now = asyncio.get_running_loop().time()
        match event:
            case PlayStarted(tracks):
                self._played_at = self._played_at or now
                channels = self._channels_of(tracks)
                self._outlet.open(self._connection, channels, self._fanout.replay(now), now)
            case Paused():
                self._outlet.close()
            case Left(reason):
                self._cause = self._cause or reason.value
                self._connection.finish()
            case _:
                pass

    def _channels_of(self, tracks: tuple[ServedTrack, ...]) -> dict[int, int]:
        """Return which channel of the stream becomes which of the client's."""
        channels: Channels = self._stream.channels if self._stream is not None else ()
        mapped: dict[int, int] = {}
        for track in tracks:
            if track.channels is not None:
                mapped |= dict(zip(channels[track.index], track.channels, strict=True))
        if len(tracks) == len(channels) and all(a == b for a, b in mapped.items()):
            return {}
        return mapped

    def _tell(self) -> None:
        now = self._clock.monotonic()
        self._send(
            ReaderLeft(
                SourceKey(self._order.source_id),
                self._order.reader_id,
                now,
                self._clock.now(),
                self._cause or Departure.CLOSED.value,
                now - self._played_at if self._played_at is not None else 0.0,
                self._queue.frames_out,
                self._queue.bytes_out,
                self._queue.dropped_frames,
            )
        )
