"""Pull and push by the adapter's sessions, packet by packet: how the tests meet other people's RTSP servers.

The relay forwards whole chunks and leads its sessions itself; here every packet is an object.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, cast

from adapters.base import Credential, RtspTarget, Transport
from adapters.errors import AdapterError, LocalProtocolError, PeerClosed, PeerUnreachable
from adapters.rtsp.client import open_transport, translated
from adapters.rtsp.exchange import SessionOptions
from adapters.rtsp.message import Demultiplexer, InterleavedFrame, MessageParser
from adapters.rtsp.session import (
    Described,
    Event,
    Playing,
    PullSession,
    PushSession,
    Recording,
    Session,
    State,
)

MAX_QUEUED: Final = 512
"""Chunks (TCP) or datagrams (UDP) that wait for the user; TCP then pauses, UDP drops the newest."""


@dataclass(frozen=True)
class Packet:
    """One RTP or RTCP packet."""

    track: int
    "Index into the session's tracks: 0 is the video of a pull."
    is_rtcp: bool
    payload: bytes = field(repr=False)


class _Inbox:
    """What came and was not looked at: bounded, in order, with a bell."""

    def __init__(self) -> None:
        self.chunks: deque[bytes] = deque()
        self.packets: deque[Packet] = deque()
        self.dropped = 0
        self.lost: Exception | None = None
        self.is_closed = False
        self.bell = asyncio.Event()


class _Connection(asyncio.Protocol):
    def __init__(self, inbox: _Inbox) -> None:
        self._inbox = inbox
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because uvloop's transports are no subclass of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._inbox.chunks.append(data)
        self._inbox.bell.set()
        if self._transport is not None and len(self._inbox.chunks) >= MAX_QUEUED:
            self._transport.pause_reading()

    def eof_received(self) -> None:
        self._inbox.is_closed = True
        self._inbox.bell.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._inbox.is_closed = True
        self._inbox.lost = exc
        self._inbox.bell.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def drain(self) -> None:
        await self._writable.wait()


class _Datagrams(asyncio.DatagramProtocol):
    """Take what comes from the peer's host; what comes from elsewhere is nobody's media."""

    def __init__(self, inbox: _Inbox, host: str, track: int, *, is_rtcp: bool) -> None:
        self._inbox = inbox
        self._host = host
        self._track = track
        self._is_rtcp = is_rtcp

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if addr[0] != self._host:
            return
        if len(self._inbox.packets) >= MAX_QUEUED:
            self._inbox.dropped += 1
            return
        self._inbox.packets.append(Packet(self._track, self._is_rtcp, data))
        self._inbox.bell.set()


class _Driver:
    """Lead one session over one connection, without a task of its own."""

    def __init__(
        self, session: Session, transport: asyncio.Transport, connection: _Connection, inbox: _Inbox
    ):
        self.session = session
        self.transport = transport
        self._connection = connection
        self._inbox = inbox
        self._split = Demultiplexer(MessageParser(session.leniency, peer=session.peer))
        self._channels: dict[int, tuple[int, bool]] = {}

    @property
    def dropped(self) -> int:
        """Return how many datagrams were dropped because nobody took them."""
        return self._inbox.dropped

    async def step(self) -> list[Packet]:
        """Wait for bytes or the session's deadline and take them in; return the packets among them."""
        loop = asyncio.get_running_loop()
        self._flush()
        try:
            async with asyncio.timeout_at(self.session.deadline()):
                await self._inbox.bell.wait()
        except TimeoutError:
            self.session.handle_timer(loop.time())
            self._flush()
            return []
        self._inbox.bell.clear()
        packets = list(self._inbox.packets)
        self._inbox.packets.clear()
        while self._inbox.chunks:
            packets += self._receive(self._inbox.chunks.popleft(), loop.time())
        self._flush()
        if not self.transport.is_closing():
            self.transport.resume_reading()
        if self._inbox.is_closed and not packets:
            raise PeerClosed("the connection was closed", peer=self.session.peer) from self._inbox.lost
        if self._inbox.is_closed:
            self._inbox.bell.set()
        return packets

    def _receive(self, data: bytes, now: float) -> list[Packet]:
        packets = []
        for item in self._split.feed(data):
            if not isinstance(item, InterleavedFrame):
                self.session.receive(item, now)
                self._take_tracks()
            elif item.channel in self._channels:
                index, is_rtcp = self._channels[item.channel]
                packets.append(Packet(index, is_rtcp, item.payload))
        return packets

    def _take_tracks(self) -> None:
        """Note which channel is which track, once it is set up."""
        for index, track in enumerate(self.session.tracks):
            if track.rtp_channel is not None and track.rtcp_channel is not None:
                self._channels[track.rtp_channel] = (index, False)
                self._channels[track.rtcp_channel] = (index, True)

    def _flush(self) -> None:
        data = self.session.bytes_to_send()
        if data and not self.transport.is_closing():
            self.transport.write(data)

    async def send(self, channel: int, payload: bytes) -> None:
        """Send one interleaved frame; wait while the peer does not read."""
        self.transport.write(bytes(InterleavedFrame(channel, payload)))
        async with asyncio.timeout(self.session.options.answer_timeout):
            await self._connection.drain()

    async def leave(self) -> None:
        """Take leave where the session stands, for two seconds at most, and close the socket."""
        loop = asyncio.get_running_loop()
        try:
            with suppress(AdapterError, OSError):
                self.session.close(loop.time())
                while self.session.state is not State.CLOSED:
                    await self.step()
        finally:
            self.transport.abort()


class Pull:
    """A playing pull.

    Attributes:
        described: what the camera offers.
        playing: the tracks.
    """

    def __init__(self, driver: _Driver, described: Described, playing: Playing, early: list[Packet]) -> None:
        self._driver = driver
        self._early = early
        "What came with the answer to PLAY or before it."
        self.described = described
        self.playing = playing

    @property
    def session(self) -> Session:
        """Return the session, e.g. for the quirks that were met."""
        return self._driver.session

    @property
    def dropped(self) -> int:
        """Return how many datagrams were dropped because nobody took them."""
        return self._driver.dropped

    async def packets(self) -> AsyncIterator[Packet]:
        """Yield the packets as they come, keepalives sent between them.

        Raises:
            AdapterError: any remote kind, when the stream ends. The caller limits the time.
        """
        for packet in self._early:
            yield packet
        self._early.clear()
        while True:
            for packet in await self._driver.step():
                yield packet


class Push:
    """A recording push over TCP.

    Attributes:
        recording: the tracks.
    """

    def __init__(self, driver: _Driver, recording: Recording) -> None:
        self._driver = driver
        self.recording = recording

    async def send(self, packet: Packet) -> None:
        """Send one packet.

        Raises:
            PeerClosed: the target closed the connection.
            PeerTimeout: the target does not read.
        """
        track = self.recording.tracks[packet.track]
        channel = track.rtcp_channel if packet.is_rtcp else track.rtp_channel
        if channel is None:
            raise LocalProtocolError("a push over UDP", peer=self._driver.session.peer)
        if self._driver.transport.is_closing():
            raise PeerClosed("the connection was closed", peer=self._driver.session.peer)
        with translated(self._driver.session.peer):
            await self._driver.send(channel, packet.payload)


@asynccontextmanager
async def open_pull(
    target: RtspTarget, credential: Credential | None, options: SessionOptions
) -> AsyncIterator[Pull]:
    """Play `target`; every answer is waited for `options.answer_timeout` seconds at most.

    `options.udp_ports` must be empty: for UDP the ports are bound here.

    Raises:
        AdapterError: any remote kind.
    """
    inbox = _Inbox()
    transport, connection = await open_transport(target, options.answer_timeout, lambda: _Connection(inbox))
    datagrams: list[asyncio.DatagramTransport] = []
    try:
        if options.transport is Transport.UDP:
            host = transport.get_extra_info("peername")[0]
            ports = []
            for track in range(2 if options.audio else 1):
                ports.append(await _bind_pair(inbox, host, track, datagrams))
            options = _with_ports(options, tuple(ports))
        session = PullSession(target, credential, options, now=asyncio.get_running_loop().time())
        driver = _Driver(session, transport, connection, inbox)
        try:
            events: list[Event] = []
            early: list[Packet] = []
            while not any(isinstance(event, Playing) for event in events):
                early += await driver.step()
                events += session.events()
            described = next(event for event in events if isinstance(event, Described))
            playing = next(event for event in events if isinstance(event, Playing))
            yield Pull(driver, described, playing, early)
        finally:
            await driver.leave()
    finally:
        transport.abort()
        for one in datagrams:
            one.abort()


@asynccontextmanager
async def open_push(
    target: RtspTarget,
    credential: Credential | None,
    sdp: bytes,
    controls: tuple[str, ...],
    options: SessionOptions,
) -> AsyncIterator[Push]:
    """Record to `target` over TCP; every answer is waited for `options.answer_timeout` seconds at most.

    Raises:
        AdapterError: any remote kind.
    """
    inbox = _Inbox()
    transport, connection = await open_transport(target, options.answer_timeout, lambda: _Connection(inbox))
    try:
        now = asyncio.get_running_loop().time()
        session = PushSession(target, credential, sdp, controls, options, now=now)
        driver = _Driver(session, transport, connection, inbox)
        try:
            events: list[Event] = []
            while not any(isinstance(event, Recording) for event in events):
                await driver.step()
                events += session.events()
            yield Push(driver, next(event for event in events if isinstance(event, Recording)))
        finally:
            await driver.leave()
    finally:
        transport.abort()


def _with_ports(options: SessionOptions, ports: tuple[int, ...]) -> SessionOptions:
    return SessionOptions(
        transport=options.transport,
        audio=options.audio,
        allow_basic=options.allow_basic,
        udp_ports=ports,
        answer_timeout=options.answer_timeout,
        random_bytes=options.random_bytes,
    )


async def _bind_pair(inbox: _Inbox, host: str, track: int, opened: list[asyncio.DatagramTransport]) -> int:
    """Bind an even RTP port and the RTCP port above it (RFC 3550, section 11); return the even one."""
    loop = asyncio.get_running_loop()
    local = "::" if ":" in host else "0.0.0.0"
    for _ in range(32):
        rtp, _protocol = await loop.create_datagram_endpoint(
            lambda: _Datagrams(inbox, host, track, is_rtcp=False), local_addr=(local, 0)
        )
        opened.append(rtp)
        port: int = rtp.get_extra_info("sockname")[1]
        if port % 2 == 0 and port < 65535:
            with suppress(OSError):
                rtcp, _protocol = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(inbox, host, track, is_rtcp=True), local_addr=(local, port + 1)
                )
                opened.append(rtcp)
                return port
        opened.remove(rtp)
        rtp.abort()
    raise PeerUnreachable("no free pair of UDP ports here", peer=host)
