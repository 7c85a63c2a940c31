"""A server to pull from on 127.0.0.1: sockets around the door and the sessions, and a packetizer's stream.

Its door looks at a connection with MSG_PEEK and hands the untouched socket on, as between processes.
"""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from adapters.base import Transport
from adapters.digest_server import Nonces
from adapters.errors import RemoteProtocolError
from adapters.media.sdp import SessionDescription
from adapters.rtsp.door import MAX_MESSAGE, DoorSession, DoorState, Ended, EndReason, Wanted
from adapters.rtsp.message import Demultiplexer, InterleavedFrame, MessageParser, Request
from adapters.rtsp.quirks import Quirk
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
from catalog.model.secret import Secret
from tests.bench.relay_stream import RATE, Packetizer

READ: Final = 64 * 1024
AUDIO_SAMPLES: Final = 8000 // RATE
SILENCE: Final = b"\xd5" * AUDIO_SAMPLES
"""PCMA, one packet a picture."""


@dataclass
class Stream:
    """What is served, to whom and how."""

    pictures: list[list[bytes]]
    fmtp: str
    path: str = "/gb/32029900001320000001"
    users: Mapping[str, Secret] = field(default_factory=lambda: {"viewer": Secret("correct horse")})
    has_audio: bool = False
    has_udp: bool = True

    def offer(self) -> Offer:
        text = f"m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 {self.fmtp}\r\n"
        text += "m=audio 0 RTP/AVP 8\r\n" if self.has_audio else ""
        return Offer.of("32029900001320000001", SessionDescription.parse(text.encode()).media)


class PulledServer:
    """Serves one stream to whoever proves to be a user.

    Attributes:
        port: where it listens on 127.0.0.1.
        ended: why connections ended at the door.
        events: what all sessions reported.
        requests: methods that reached sessions.
        met: quirks of all clients.
        rtcp: RTCP packets that came from clients.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.port = 0
        self.nonces = Nonces()
        self.ended: list[EndReason] = []
        self.events: list[ServerEvent] = []
        self.requests: list[str] = []
        self.met: set[Quirk] = set()
        self.rtcp = 0

    def left(self) -> list[Departure]:
        """Return why sessions ended, in order."""
        return [event.reason for event in self.events if isinstance(event, Left)]

    async def accept(self, listener: socket.socket, group: asyncio.TaskGroup) -> None:
        """Take connections until cancelled."""
        loop = asyncio.get_running_loop()
        for number in itertools.count():
            sock, address = await loop.sock_accept(listener)
            group.create_task(self._lead(sock, f"{address[0]}:{address[1]}"), name=f"client {number}")

    async def _lead(self, sock: socket.socket, peer: str) -> None:
        with contextlib.suppress(OSError):
            try:
                is_admitted = await self._door(sock, peer)
                # Another process would get the descriptor; nothing but that goes over.
                inner = socket.socket(fileno=sock.detach()) if is_admitted else None
            finally:
                sock.close()
            if inner is not None:
                await _Connection(self, inner, peer).serve()

    async def _door(self, sock: socket.socket, peer: str) -> bool:
        loop = asyncio.get_running_loop()
        door = DoorSession(peer, self.nonces, now=loop.time())
        data = b""
        while True:
            consumed = door.receive(data, loop.time())
            sock.recv(consumed)
            data = data[consumed:]
            await loop.sock_sendall(sock, door.bytes_to_send())
            events = door.events()
            for event in events:
                if isinstance(event, Ended):
                    self.ended.append(event.reason)
                elif isinstance(event, Wanted):
                    self._judge(door, event)
            if events:
                continue  # what was judged is settled by the next look at it
            if door.state in (DoorState.ADMITTED, DoorState.OVER):
                break
            if not consumed:
                data = await self._peek(sock, door)
        self.met |= door.leniency.met
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        return door.state is DoorState.ADMITTED

    def _judge(self, door: DoorSession, wanted: Wanted) -> None:
        now = asyncio.get_running_loop().time()
        if not door.prove(self.stream.users.get(wanted.username), now):
            return
        if wanted.path == self.stream.path:
            door.admit()
        else:
            door.refuse(404)

    async def _peek(self, sock: socket.socket, door: DoorSession) -> bytes:
        """Return what waits in the socket once it is more than the door has seen, or end the door."""
        loop = asyncio.get_running_loop()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, door.needed)
        readable = asyncio.Event()
        loop.add_reader(sock, readable.set)
        try:
            async with asyncio.timeout_at(door.deadline()):
                await readable.wait()
        except TimeoutError:
            door.handle_timer(loop.time())
            return b""
        finally:
            loop.remove_reader(sock)
        data = sock.recv(MAX_MESSAGE, socket.MSG_PEEK)
        if len(data) < door.needed:
            door.close()
        return data


class _Connection:
    """The worker's side: one session and its media."""

    def __init__(self, server: PulledServer, sock: socket.socket, peer: str) -> None:
        self._server = server
        self._sock = sock
        self._address = peer.rpartition(":")[0]
        self._ports: list[socket.socket] = []
        self._packets = Packetizer(1, server.stream.pictures)
        self._has_sent = False
        self._media: asyncio.Task[None] | None = None
        now = asyncio.get_running_loop().time()
        self._session = ServerSession(peer, server.stream.path, server.stream.offer(), self, now=now)

    def bind_ports(self, track: int) -> tuple[int, int] | None:
        if not self._server.stream.has_udp:
            return None
        for _ in range(32):
            rtp, rtcp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
            with contextlib.suppress(OSError):
                rtp.bind(("127.0.0.1", 0))
                rtcp.bind(("127.0.0.1", rtp.getsockname()[1] + 1))
                for sock in (rtp, rtcp):
                    sock.setblocking(False)
                self._ports += [rtp, rtcp]
                asyncio.get_running_loop().add_reader(rtcp, self._take_rtcp, rtcp)
                return rtp.getsockname()[1], rtcp.getsockname()[1]
            rtp.close()
            rtcp.close()
        return None

    def position(self, track: int) -> Position | None:
        # The first packet is known only before the first one was sent.
        return None if self._has_sent else Position(0, 0)

    async def serve(self) -> None:
        """Serve until the session or the connection ends."""
        reader, writer = await asyncio.open_connection(sock=self._sock, limit=READ)
        try:
            async with asyncio.TaskGroup() as group:
                await self._converse(reader, writer, group)
                if self._media is not None:
                    self._media.cancel()
        except* OSError:
            self._session.close(asyncio.get_running_loop().time(), Departure.CLOSED)
            self._server.events += self._session.events()
        finally:
            for sock in self._ports:
                asyncio.get_running_loop().remove_reader(sock)
                sock.close()
            writer.transport.abort()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, group: asyncio.TaskGroup
    ) -> None:
        loop = asyncio.get_running_loop()
        split = Demultiplexer(MessageParser(self._session.leniency))
        while True:
            try:
                async with asyncio.timeout_at(self._session.deadline()):
                    data = await reader.read(READ)
            except TimeoutError:
                self._session.handle_timer(loop.time())
            else:
                self._receive(split, data, loop.time())
            writer.write(self._session.bytes_to_send())
            await writer.drain()
            events = self._session.events()
            self._server.events += events
            for event in events:
                self._act(event, writer, group)
            if any(isinstance(event, Left) for event in events):
                return

    def _receive(self, split: Demultiplexer, data: bytes, now: float) -> None:
        if not data:
            self._session.close(now, Departure.CLOSED)
            return
        try:
            for item in split.feed(data):
                if isinstance(item, InterleavedFrame):
                    self._server.rtcp += 1
                    continue
                if isinstance(item, Request):
                    self._server.requests.append(item.method)
                self._session.receive(item, now)
        except RemoteProtocolError:
            self._session.close(now, Departure.PROTOCOL_ERROR)

    def _act(self, event: ServerEvent, writer: asyncio.StreamWriter, group: asyncio.TaskGroup) -> None:
        if isinstance(event, PlayStarted):
            self._media = group.create_task(self._send(event.tracks, writer), name="media")
        elif isinstance(event, Paused) and self._media is not None:
            self._media.cancel()

    def _take_rtcp(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock.recv(2048)
            self._server.rtcp += 1
            self._session.heard(asyncio.get_running_loop().time())

    async def _send(self, tracks: Sequence[ServedTrack], writer: asyncio.StreamWriter) -> None:
        """Send pictures at their rate, each with its part of the audio, until cancelled."""
        loop = asyncio.get_running_loop()
        began = loop.time() - self._packets.number / RATE
        while True:
            number = self._packets.number
            packets = {0: _packets(self._packets.next_picture()), 1: [_audio(number)]}
            self._has_sent = True
            for track in tracks:
                for packet in packets[track.index]:
                    self._put(track, packet, writer)
            await writer.drain()
            await asyncio.sleep(max(0.0, began + self._packets.number / RATE - loop.time()))

    def _put(self, track: ServedTrack, packet: bytes, writer: asyncio.StreamWriter) -> None:
        if track.transport is Transport.TCP and track.channels is not None:
            writer.write(bytes(InterleavedFrame(track.channels[0], packet)))
        elif track.client_ports is not None and track.server_ports is not None:
            (sock,) = [s for s in self._ports if s.getsockname()[1] == track.server_ports[0]]
            with contextlib.suppress(OSError):
                sock.sendto(packet, (self._address, track.client_ports[0]))


def _packets(frames: bytes) -> list[bytes]:
    """Return the packets in a run of interleaved frames."""
    found, at = [], 0
    while at < len(frames):
        end = at + 4 + int.from_bytes(frames[at + 2 : at + 4], "big")
        found.append(frames[at + 4 : end])
        at = end
    return found


def _audio(number: int) -> bytes:
    head = b"\x80\x88" + (number & 0xFFFF).to_bytes(2, "big")
    return head + (number * AUDIO_SAMPLES & 0xFFFFFFFF).to_bytes(4, "big") + b"AUDI" + SILENCE


@asynccontextmanager
async def pulled_server(stream: Stream) -> AsyncIterator[PulledServer]:
    """Serve `stream` for the length of the block."""
    server = PulledServer(stream)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    server.port = listener.getsockname()[1]
    try:
        async with asyncio.TaskGroup() as group:
            # Connections are tasks of an inner group, so that the end takes all of them.
            serving = group.create_task(_serve(server, listener), name="server")
            try:
                yield server
            finally:
                serving.cancel()
    finally:
        listener.close()


async def _serve(server: PulledServer, listener: socket.socket) -> None:
    async with asyncio.TaskGroup() as group:
        await server.accept(listener, group)
