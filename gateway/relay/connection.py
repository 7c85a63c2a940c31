"""One RTSP connection over TCP or TLS: feeds a sans-IO session, passes media runs on. Owns its socket."""

import asyncio
import os
import ssl
from collections.abc import Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar, cast

from adapters.base import RtspTarget
from adapters.errors import AdapterError, LocalProtocolError, PeerClosed
from adapters.rtsp.client import open_transport
from adapters.rtsp.message import Message, MessageParser
from adapters.rtsp.quirks import Leniency
from adapters.rtsp.session import Closed
from gateway.relay.chunk import MARK, MediaChunk, Run
from gateway.relay.pace import Pace, ReadTick
from gateway.relay.reader import READ_SIZE, ChunkReader, SharedBuffer

Take = Callable[[MediaChunk, Run], None]
LINGER: Final = 2.0
"""Seconds that what was written last may take to leave."""

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)


class Conversation(Protocol[E_co]):
    """A sans-IO session, be it one that we lead or one that a client leads with us."""

    @property
    def leniency(self) -> Leniency:
        """The deviations that are accepted."""
        ...

    def receive(self, message: Message, now: float) -> None:
        """Take in a message of the peer."""
        ...

    def bytes_to_send(self) -> bytes:
        """Return what shall be written now, before what the events allow."""
        ...

    def events(self) -> Sequence[E_co]:
        """Return what happened since the last call."""
        ...

    def deadline(self) -> float | None:
        """Return when `handle_timer` shall be called."""
        ...

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        ...


class RtspConnection(asyncio.BufferedProtocol, Generic[E]):
    """A connection to one peer, for one session, for one source; never used again.

    Args:
        shared: the worker's receive buffer.
        peer: `host:port` for errors.
        on_event: is given each event of the session, synchronously: what it sets holds for the very
            next byte of the same chunk.
        take: is given the media runs; None to pass over all media.
        on_room: is called when the connection takes more again after `is_congested`.
        tick: where media come from the peer: reads it if it sends packets singly, and not over TLS.
    """

    def __init__(
        self,
        shared: SharedBuffer,
        peer: str,
        on_event: Callable[[E], None],
        take: Take | None = None,
        on_room: Callable[[], None] | None = None,
        tick: ReadTick | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._shared = shared
        self._peer = peer
        self._on_event = on_event
        self._on_room = on_room
        self._transport: asyncio.Transport | None = None
        self._session: Conversation[E] | None = None
        self._leave: Callable[[float], None] | None = None
        self._parser = MessageParser(peer=peer)
        self._timer: asyncio.TimerHandle | None = None
        self._begin = 0
        self._tick = tick
        self._pace = Pace()
        self._ticked: int | None = None
        "Our own descriptor of the socket while it is read on the tick, and not by the transport."
        self.reader: Final = ChunkReader(shared, self, take)
        self.ended: Final[asyncio.Future[None]] = self._loop.create_future()
        "Done when the connection is of no further use; holds the error unless we closed it."
        self.is_congested = False
        "Whether writing more now would only pile up in this process."

    @property
    def transport(self) -> asyncio.Transport:
        """Return the transport.

        Raises:
            LocalProtocolError: there is no connection yet.
        """
        if self._transport is None:
            raise LocalProtocolError("not connected", peer=self._peer)
        return self._transport

    def start(self, session: Conversation[E], leave: Callable[[float], None] | None = None) -> None:
        """Lead `session` over this connection from now on.

        Args:
            session: what the peer's messages go to.
            leave: has the session take its leave, for one that we lead: its `close`.
        """
        self._session = session
        self._leave = leave
        self._parser = MessageParser(session.leniency, peer=self._peer)
        self._pump()

    def fail(self, error: BaseException) -> None:
        """End at once because of `error`; the first one counts."""
        if not self.ended.done():
            self.ended.set_exception(error)
            # Whoever waits sees it; nobody waits once the session is being torn down.
            self.ended.exception()
        self._disarm()
        self._leave_tick()
        if self._transport is not None:
            self._transport.abort()

    def send_frame(self, channel: int, packet: bytes) -> None:
        """Send one interleaved frame of ours; dropped while the peer takes nothing, or when it is gone.

        The transport takes requests and frames whole, so none can stand in the middle of another.
        """
        if not self.is_congested and not self.ended.done():
            self.transport.write(bytes((MARK, channel)) + len(packet).to_bytes(2, "big") + packet)

    async def close(self, within: float) -> None:
        """End cleanly: TEARDOWN where we lead the session, its answer or `within` seconds, then the socket."""
        try:
            if self._leave is not None and not self.ended.done():
                self._leave(self._loop.time())
                self._pump()
                async with asyncio.timeout(within):
                    await asyncio.wait((self.ended,))
        except (AdapterError, TimeoutError):
            pass
        finally:
            self._disarm()
            self._leave_tick()
            if not self.ended.done():
                self.ended.set_result(None)
            if self._transport is not None:
                self._transport.abort()

    def finish(self) -> None:
        """End once what was written is out; the owner closes."""
        self._disarm()
        self._leave_tick()
        if not self.ended.done():
            self.ended.set_result(None)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()
            # A peer that reads nothing would keep what is written, and this connection, for ever.
            self._loop.call_later(LINGER, self._transport.abort)

    def look(self) -> None:
        """Handle what the reader holds from before, without waiting for more."""
        self.get_buffer(0)
        self.buffer_updated(0)

    # -- what the transport calls ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # A cast, because uvloop's transports are no subclass of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the shared buffer is larger
        """Lend the shared buffer, behind what is left of this connection's last chunk."""
        self._begin = self.reader.begin()
        return self._shared.view[self._begin : self._begin + READ_SIZE]

    def buffer_updated(self, nbytes: int) -> None:
        """Handle what was read, to its end."""
        now = self._loop.time()
        try:
            self.reader.end(self._begin + nbytes, now)
        except AdapterError as error:
            self.fail(error)
        if self._tick is not None and not self.ended.done() and self._pace.read(nbytes, now):
            self._change_pace(self._tick)

    def _change_pace(self, tick: ReadTick) -> None:
        """Begin to be read on the tick, or by the transport again."""
        transport = self.transport
        if not self._pace.is_ticked:
            if self._ticked is not None:
                self._leave_tick()
                transport.resume_reading()
        elif transport.get_extra_info("sslcontext") is None and not transport.is_closing():
            try:
                # A descriptor of our own: the transport's number may be another connection's as soon as that closes it.
                self._ticked = os.dup(transport.get_extra_info("socket").fileno())
            except OSError:
                # None is left: the transport goes on reading.
                return
            transport.pause_reading()
            tick.add(self._ticked, self._read_ticked)

    def _read_ticked(self) -> None:
        if self._ticked is None:
            return
        try:
            size = os.readv(self._ticked, [self.get_buffer(-1)])
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if size:
            self.buffer_updated(size)
            return
        # The end, or an error: the transport finds and tells it.
        self._leave_tick()
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _leave_tick(self) -> None:
        if self._tick is not None and self._ticked is not None:
            self._tick.remove(self._ticked)
            os.close(self._ticked)
            self._ticked = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end; an error that is not the network's is passed on as it is."""
        self._leave_tick()
        if exc is None or isinstance(exc, OSError | ssl.SSLError):
            reason = "closed the connection" if exc is None else f"connection lost: {exc}"
            self.fail(PeerClosed(reason, peer=self._peer))
        else:
            self.fail(exc)

    def pause_writing(self) -> None:
        """Note that the transport's buffer is full."""
        self.is_congested = True

    def resume_writing(self) -> None:
        """Note that the transport takes more."""
        self.is_congested = False
        if self._on_room is not None:
            self._on_room()

    # -- what the reader calls ---------------------------------------------------------------------

    @property
    def in_message(self) -> bool:
        """Whether an RTSP message has begun and not ended."""
        return self._parser.in_message

    def receive(self, data: bytearray, start: int, end: int) -> int:
        """Take a message, or a part of it, from `data[start:end]`."""
        with memoryview(data) as whole, whole[start:end] as part:
            message, used = self._parser.receive(part)
        if message is not None and self._session is not None:
            self._session.receive(message, self._loop.time())
            self._pump()
        return start + used

    # -- the session -------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Write what the session wants to say, tell what happened, and set its timer."""
        session = self._session
        if session is None or self.ended.done():
            return
        if out := session.bytes_to_send():
            self.transport.write(out)
        for event in session.events():
            if isinstance(event, Closed):
                self._disarm()
                if not self.ended.done():
                    self.ended.set_result(None)
                return
            self._on_event(event)
        self._disarm()
        deadline = session.deadline()
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._handle_timer)

    def _handle_timer(self) -> None:
        self._timer = None
        if self._session is None or self.ended.done():
            return
        try:
            self._session.handle_timer(self._loop.time())
        except AdapterError as error:
            self.fail(error)
            return
        self._pump()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def connect(target: RtspTarget, connection: RtspConnection[E], within: float) -> None:
    """Connect `connection` to `target`, proving who it is for RTSPS.

    Raises:
        AdapterError: as `adapters.rtsp.client.open_transport`.
    """
    await open_transport(target, within, lambda: connection)
